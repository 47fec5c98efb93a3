package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The writer gets an error and lunserve prints a warning. Earlier data stays, and
// discarded space can be written again.
func TestStorageIsFull(t *testing.T) {
	for name, dir := range map[string]func(*testing.T) string{
		"ext4": func(t *testing.T) string { return ext4Of(t, 24<<20) },
		"tmpfs": func(t *testing.T) string {
			dir := t.TempDir()
			mount(t, "tmpfs", dir, "-t", "tmpfs", "-o", "size=20M")
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			needTarget(t)
			image := filepath.Join(dir(t), "disk.img")
			s := start(t, "--size=64M", image)
			disk := s.disks[0]
			write(t, disk, 0, noise(8<<20, 1))

			f, err := os.OpenFile(disk, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt(noise(40<<20, 2), 16<<20)
			if err = errors.Join(err, f.Sync()); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO) {
				t.Errorf("writing more than there is space for: %v", err)
			}
			f.Close()
			s.stderr.await(t, `(?m)^lunserve: warning: `+image+`: write \d+ bytes at \d+: no space left on device`)
			holds(t, disk, 0, noise(8<<20, 1))

			run(t, "blkdiscard", "--offset=16MiB", disk)
			write(t, disk, 32<<20, noise(4<<20, 3))
			s.ends()
			holds(t, image, 0, noise(8<<20, 1))
			holds(t, image, 32<<20, noise(4<<20, 3))
		})
	}
}
