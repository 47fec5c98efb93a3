package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// fileSystems are the commands that make file systems and that check them. The
// checks change nothing and fail on any error.
var fileSystems = map[string]struct{ make, judge []string }{
	"ext4": {[]string{"mkfs.ext4", "-q", "-F"}, []string{"e2fsck", "-fn"}},
	"xfs":  {[]string{"mkfs.xfs", "-q", "-f"}, []string{"xfs_repair", "-n"}},
}

// After unmount, all files are on the disk; after lunserve's end, in the image.
func TestFileSystemIsInTheImage(t *testing.T) {
	for _, place := range places {
		for name := range fileSystems {
			t.Run(place.name+"/"+name, func(t *testing.T) {
				needTarget(t)
				testFileSystem(t, place, name)
			})
		}
	}
}

func testFileSystem(t *testing.T, place place, name string) {
	image := newImage(t, place.dir(t), 320<<20) // mkfs.xfs wants 300 MiB
	s := start(t, fmt.Sprintf("--sector-size=%d", place.sector), image)
	disk := s.disks[0]
	if got := sys(t, disk, "queue/logical_block_size"); got != fmt.Sprint(place.sector) {
		t.Fatalf("the disk's blocks are %s bytes, not %d", got, place.sector)
	}
	fs := fileSystems[name]
	run(t, fs.make[0], append(fs.make[1:], disk)...)

	dir := t.TempDir()
	mount(t, disk, dir, "-t", name)
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("noise", noise(9<<20+1, 1))
	write("gone", noise(5<<20, 2))
	for i := range 100 {
		write(fmt.Sprint("small", i), noise(i*50, byte(i)))
	}
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	run(t, "umount", dir)
	run(t, fs.judge[0], append(fs.judge[1:], disk)...)
	s.ends()

	device := loop(t, image, "--read-only", "--sector-size", fmt.Sprint(place.sector))
	run(t, fs.judge[0], append(fs.judge[1:], device)...)
	mount(t, device, dir, "-t", name, "-o", "ro")
	holds(t, filepath.Join(dir, "noise"), 0, noise(9<<20+1, 1))
	for i := range 100 {
		holds(t, filepath.Join(dir, fmt.Sprint("small", i)), 0, noise(i*50, byte(i)))
	}
	if exists(filepath.Join(dir, "gone")) {
		t.Error("a file that was removed is there")
	}
}

func TestImageOnF2FS(t *testing.T) {
	needTarget(t)
	s := start(t, newImage(t, f2fsDir(t), 64<<20))
	run(t, "mkfs.ext4", "-q", s.disks[0])
	run(t, "e2fsck", "-fn", s.disks[0])
	s.ends()
}
