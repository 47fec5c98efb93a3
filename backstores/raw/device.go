package raw

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// measureDevice returns the size of an open block device and of its blocks, in
// bytes.
func measureDevice(path string, fd int, readOnly bool) (size, block int64, err error) {
	// BLKGETSIZE64 stores 64 bits, the size of an int on the machines that
	// lunserve supports.
	n, err := unix.IoctlGetInt(fd, unix.BLKGETSIZE64)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: size: %w", path, err)
	}
	b, err := unix.IoctlGetUint32(fd, unix.BLKSSZGET)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: block size: %w", path, err)
	}
	if readOnly {
		return int64(n), int64(b), nil
	}
	// Most drivers refuse to open a read-only device for writing. The others
	// fail every write.
	ro, err := unix.IoctlGetUint32(fd, unix.BLKROGET)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	if ro != 0 {
		return 0, 0, tryReadOnly(fmt.Errorf("%s: is a read-only device", path), path)
	}
	return int64(n), int64(b), nil
}

// busy is the error of a block device that somebody else has for himself. It
// names whoever can be found: a mount, swap, another device, a process.
func busy(path string, err error) error {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	dev := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	sys := "/sys/dev/block/" + dev

	// A disk is also in use when one of its partitions is.
	parts := map[string]bool{dev: true}
	files, _ := filepath.Glob(sys + "/*/partition")
	for _, f := range files {
		if d, err := os.ReadFile(filepath.Join(filepath.Dir(f), "dev")); err == nil {
			parts[strings.TrimSpace(string(d))] = true
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && parts[f[2]] {
			where := unescape(f[4])
			return hint.Try(fmt.Errorf("%s: mounted on %s: %w", path, where, err), "umount", where)
		}
	}
	swaps, _ := os.ReadFile("/proc/swaps")
	for line := range strings.Lines(string(swaps)) {
		var swap unix.Stat_t
		name, _, _ := strings.Cut(line, " ")
		name = unescape(name)
		if strings.HasPrefix(name, "/") && unix.Stat(name, &swap) == nil && isBlock(swap.Mode) &&
			parts[fmt.Sprintf("%d:%d", unix.Major(swap.Rdev), unix.Minor(swap.Rdev))] {
			return hint.Try(fmt.Errorf("%s: used as swap: %w", path, err), "swapoff", name)
		}
	}
	for _, pattern := range []string{"/holders/*", "/*/holders/*"} {
		if held, _ := filepath.Glob(sys + pattern); len(held) > 0 {
			return hint.Try(fmt.Errorf("%s: held by %s: %w", path, filepath.Base(held[0]), err), "lsblk", hint.Path(path))
		}
	}
	if h, ok := findHolder(&st, -1, used+write); ok {
		return fmt.Errorf("%s: locked by %s", path, h)
	}
	return hint.Try(fmt.Errorf("%s: %w", path, err), "lsof", hint.Path(path))
}

// unescape undoes what the kernel does to blanks in /proc.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
