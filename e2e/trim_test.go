package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Discarded blocks read as zeros and no longer take up space. Blocks beside them
// stay.
func TestDiscardShrinksTheImage(t *testing.T) {
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			needTarget(t)
			const size = 8 << 20
			image := newImage(t, place.dir(t), size)
			s := start(t, fmt.Sprintf("--sector-size=%d", place.sector), image)
			disk, data := s.disks[0], noise(size, 1)
			write(t, disk, 0, data)
			if n := allocated(t, image); n < size {
				t.Fatalf("the image takes %d bytes, though all are written", n)
			}

			discard := func(off, n int, command ...string) {
				t.Helper()
				run(t, command[0], append(command[1:], disk)...)
				clear(data[off : off+n])
				holds(t, disk, 0, data)
			}
			shrunk := func(by int64) {
				t.Helper()
				if n := allocated(t, image); n > size-by+64<<10 {
					t.Errorf("the image takes %d bytes, want %d", n, size-by)
				}
			}
			discard(1<<20, 3<<20, "blkdiscard", "--offset=1MiB", "--length=3MiB")
			shrunk(3 << 20)
			discard(5<<20, 64*place.sector, "sg_unmap", "--force", fmt.Sprintf("--lba=%d", (5<<20)/place.sector), "--num=64")
			discard(6<<20, 8*place.sector, "sg_unmap", "--force",
				fmt.Sprintf("--lba=%d,%d", (6<<20)/place.sector, (6<<20)/place.sector+3), "--num=3,5")
			// Written zeros may keep their space.
			discard(7<<20, 1<<19, "blkdiscard", "--zeroout", "--offset=7MiB", "--length=512KiB")
			discard(0, size, "blkdiscard")
			shrunk(size)

			write(t, disk, 5<<20, noise(1<<20, 2)) // discarded blocks can be written again
			s.ends()
			copy(data[5<<20:], noise(1<<20, 2))
			holds(t, image, 0, data)
		})
	}
}

// After fstrim, a removed file takes up no space on the host.
func TestTrimOfAFileSystemShrinksTheImage(t *testing.T) {
	for name, fs := range fileSystems {
		t.Run(name, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 320<<20)
			s := start(t, image)
			run(t, fs.make[0], append(fs.make[1:], s.disks[0])...)
			dir := t.TempDir()
			mount(t, s.disks[0], dir)
			file := filepath.Join(dir, "file")
			if err := os.WriteFile(file, noise(8<<20, 1), 0o644); err != nil {
				t.Fatal(err)
			}
			syscall.Sync()
			full := allocated(t, image)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			syscall.Sync() // frees the space
			run(t, "fstrim", dir)
			if after := allocated(t, image); after > full-7<<20 {
				t.Errorf("the image took %d bytes and takes %d", full, after)
			}
			run(t, "umount", dir)
			run(t, fs.judge[0], append(fs.judge[1:], s.disks[0])...)
		})
	}
}

func TestDiscardReachesABlockDevice(t *testing.T) {
	needTarget(t)
	file := newImage(t, tmpfsDir(t), 4<<20)
	s := start(t, loop(t, file))
	write(t, s.disks[0], 0, noise(4<<20, 1))
	run(t, "sg_sync", s.disks[0])
	if n := allocated(t, file); n < 4<<20 {
		t.Fatalf("%d bytes are behind the device, want all", n)
	}
	run(t, "blkdiscard", s.disks[0])
	if n := allocated(t, file); n > 64<<10 {
		t.Errorf("%d bytes are behind the device, want none", n)
	}
	if !bytes.Equal(read(t, s.disks[0], 0, 4<<20), make([]byte, 4<<20)) {
		t.Error("discarded blocks are not zeros")
	}
}

// An image without holes keeps its space, unless it is served as sparse.
func TestImageWithoutHolesIsFullyProvisioned(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	for _, tt := range []struct {
		name, flag string
		thin       bool
	}{
		{"holes", "--format=auto", true},
		{"holes", "--format=raw", false},
		{"none", "--format=auto", false},
		{"none", "--format=sparse", true},
	} {
		if tt.name == "none" {
			write(t, image, 0, noise(1<<20, 1))
		}
		s := start(t, tt.flag, image)
		says(t, "sg_readcap", "--16", s.disks[0]).has(`lbpme=%d`, flag(tt.thin))
		s.ends()
	}
}
