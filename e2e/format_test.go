package e2e

import (
	encoding "encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// disguises are what a guest writes to its disk to have it read as another format
// at the next start.
func disguises(t *testing.T) map[string]struct {
	off  int64 // from the end if it is negative
	data []byte
} {
	le := encoding.LittleEndian
	plain := newImage(t, tmpfsDir(t), 300<<10)
	zstd := []byte(run(t, "zstd", "-q", "-c", plain))
	zstd = append(le.AppendUint32(append(zstd, "\x50\x2a\x4d\x18"...), uint32(diskSize-len(zstd)-8)), make([]byte, 512)...)
	simg := slices.Concat(le.AppendUint32(nil, 0xed26ff3a), []byte{1, 0, 0, 0, 28, 0, 12, 0, 0, 16, 0, 0}, []byte("\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00"),
		[]byte("\xc3\xca\x00\x00\xff\xff\xff\xff\x0c\x00\x00\x00"))
	qcow2 := append([]byte("QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x0b"), make([]byte, 492)...)
	copy(qcow2[256:], "/etc/passwd")
	vhd := make([]byte, 512)
	copy(vhd, "conectix")
	vhd[63] = 2
	var sum uint32
	for _, b := range vhd {
		sum += uint32(b)
	}
	encoding.BigEndian.PutUint32(vhd[64:], ^sum)
	return map[string]struct {
		off  int64
		data []byte
	}{
		"a zstd file":             {0, zstd[:len(zstd)/512*512]},
		"an Android sparse image": {0, append(simg, make([]byte, 512-len(simg))...)},
		"a qcow2 image":           {0, qcow2},
		"a gzip file":             {0, append([]byte("\x1f\x8b\x08\x00"), make([]byte, 508)...)},
		"a VHD image":             {-512, vhd},
	}
}

const diskSize = 16 << 20

// Whatever is written through the disk, the next start serves the same bytes.
func TestGuestDoesNotChooseTheFormat(t *testing.T) {
	needTarget(t)
	dir := ext4Dir(t)
	for name, d := range disguises(t) {
		image := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		s := start(t, fmt.Sprintf("--size=%d", diskSize), image)
		want := noise(diskSize, 1)
		write(t, s.disks[0], 0, want)
		off := d.off
		if off < 0 {
			off += diskSize
		}
		copy(want[off:], d.data)
		write(t, s.disks[0], off, d.data)
		s.stderr.await(t, `(?m)^lunserve: `+image+`: begins or ends like `+name+`; it is served raw from now on, by its attribute user\.lunserve\.format$`)
		s.ends()
		holds(t, image, 0, want)

		s = start(t, image)
		s.stderr.await(t, `(?m)^lunserve: `+image+`: raw, though it looks like `+name+`, 16 MiB, writable$`)
		if got := strings.TrimSpace(run(t, "blockdev", "--getsize64", s.disks[0])); got != fmt.Sprint(diskSize) {
			t.Errorf("%s: a disk of %s bytes", name, got)
		}
		holds(t, s.disks[0], 0, want)
		s.ends()
		holds(t, image, 0, want)
	}
}

// On a file system without attributes the write fails, with one warning that says
// what to type.
func TestDisguiseThatCannotBeRememberedIsRefused(t *testing.T) {
	needTarget(t)
	dir := t.TempDir()
	mount(t, "ramfs", dir, "-t", "ramfs")
	for name, d := range disguises(t) {
		image := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		s := start(t, fmt.Sprintf("--size=%d", diskSize), image)
		off := d.off
		if off < 0 {
			off += diskSize
		}
		f, err := os.OpenFile(s.disks[0], os.O_WRONLY|syscall.O_DSYNC, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, err := f.WriteAt(d.data[:512], off)
			if err = errors.Join(err, f.Sync()); err == nil {
				t.Errorf("%s: written", name)
			}
		}
		f.Close()
		s.stderr.await(t, `(?m)^lunserve: warning: `+image+`: write refused: the image would look like `+name+` at the next start, .*; try --format raw to serve it raw whatever it looks like$`)
		write(t, s.disks[0], 1<<20, noise(4096, 2))
		s.ends()
		if n := strings.Count(s.stderr.String(), "write refused"); n != 1 {
			t.Errorf("%s: %d warnings", name, n)
		}
		holds(t, image, off, make([]byte, 512))

		s = start(t, "--format=raw", image)
		write(t, s.disks[0], off, d.data[:512])
		s.ends()
	}
}

// The line that info prints serves a disk whose partitions the kernel finds.
func TestLineOfInfoServesTheImage(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		for _, label := range []string{"gpt", "dos"} {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 64<<20)
			s := start(t, fmt.Sprintf("--sector-size=%d", sector), image)
			partition(t, s.disks[0], label)
			run(t, "mkfs.ext4", "-q", s.disks[0]+"2")
			s.ends()

			_, line, _ := strings.Cut(run(t, binary, "info", image), "\nserve ")
			words := strings.Fields(line)
			flags := []string{strings.ReplaceAll(strings.Join(words[1:len(words)-1], " "), "--sector-size ", "--sector-size=")}
			if flags[0] == "" {
				flags = nil
			}
			s = start(t, append(flags, words[len(words)-1])...)
			if _, err := os.Stat(s.disks[0] + "2"); err != nil {
				t.Errorf("%s, %d: %s: %v", label, sector, line, err)
			}
			s.ends()
		}
	}
}
