package raw

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/inuse"
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
		return 0, 0, tryReadOnly(fmt.Errorf("%s: is a read-only device", path))
	}
	return int64(n), int64(b), nil
}

// busy is the error of a block device that another user has exclusively. It names
// the user if that can be found.
func busy(path string, err error) error {
	for _, u := range inuse.Of(path) {
		switch {
		case u.Kind == inuse.Mount && u.PID == 0: // in our mount namespace
			return hint.With(fmt.Errorf("%s: mounted on %s: %w", path, u.Where, err),
				hint.Command{Words: []string{"umount", u.Where}, Purpose: "if nothing needs it"})
		case u.Kind == inuse.Swap:
			return hint.With(fmt.Errorf("%s: used as swap: %w", path, err),
				hint.Command{Words: []string{"swapoff", u.Where}, Purpose: "if nothing needs it"})
		case u.Kind == inuse.Holder:
			return hint.Try(fmt.Errorf("%s: held by %s: %w", path, filepath.Base(u.Where), err), "lsblk", hint.Path(path))
		case u.Kind == inuse.Kernel:
			return fmt.Errorf("%s: %s", path, u)
		}
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		if p, ok := inuse.LockHolder(&st, used+write, -1); ok {
			return fmt.Errorf("%s: %w %s", path, backstores.ErrLocked, p)
		}
	}
	return hint.Try(fmt.Errorf("%s: %w", path, err), "lsof", hint.Path(path))
}
