package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Several images are LUNs of one target, and their paths come in the order of
// the images.
func TestImagesAreLUNsInOrder(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	var images []string
	const n = 5
	for i := range n {
		images = append(images, newImage(t, dir, int64(i+1)<<20))
		write(t, images[i], 0, noise(4096, byte(i)))
	}
	s := start(t, images...)
	for i, disk := range s.disks {
		holds(t, disk, 0, noise(4096, byte(i)))
		write(t, disk, 65536, noise(1<<19, byte(n+i)))
		first, its := address(t, s.disks[0]), address(t, disk)
		if want := strings.TrimSuffix(first, "0") + fmt.Sprint(i); its != want {
			t.Errorf("%s is at %s, want %s", disk, its, want)
		}
	}
	s.ends()
	for i, image := range images {
		holds(t, image, 0, noise(4096, byte(i)))
		holds(t, image, 65536, noise(1<<19, byte(n+i)))
		s.did(s.disks[i])
	}
}

// Two servers know nothing of each other, and each takes only its own away.
func TestTwoServers(t *testing.T) {
	for _, first := range []int{0, 1} {
		t.Run(fmt.Sprint("first to go is ", first), func(t *testing.T) {
			needTarget(t)
			dir := tmpfsDir(t)
			images := []string{newImage(t, dir, 8<<20), newImage(t, dir, 8<<20)}
			servers := []*server{start(t, images[0]), start(t, images[1])}
			for i, s := range servers {
				write(t, s.disks[0], 0, noise(1<<20, byte(i)))
			}
			servers[first].ends()
			stays := 1 - first
			holds(t, servers[stays].disks[0], 0, noise(1<<20, byte(stays)))
			write(t, servers[stays].disks[0], 1<<20, noise(1<<20, byte(stays)))
			servers[stays].ends()
			for i, image := range images {
				holds(t, image, 0, noise(1<<20, byte(i)))
			}
		})
	}
}

// An image that is written has one user; who comes second is told of the first.
func TestImageIsWrittenByOne(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	first := start(t, image)
	locked := fmt.Sprintf("lunserve: %s: locked by %s (pid %d)", image, name(), first.cmd.Process.Pid)
	refused(t, locked, image)
	refused(t, locked, "-r", image)
	refused(t, locked, newImage(t, tmpfsDir(t), 1<<20), image) // the one that could be served is not
	write(t, first.disks[0], 0, noise(4096, 1))
	first.ends()

	refused(t, "lunserve: "+image+": open here already; give each image once", image, image)

	// What was locked is free.
	start(t, image).ends()
	holds(t, image, 0, noise(4096, 1))
}

// Readers share an image. A writer is told of one, and to be a reader.
func TestImageIsReadByMany(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	write(t, image, 0, noise(1<<20, 1))
	a := start(t, "-r", image)
	b := start(t, "-r", image)
	holds(t, a.disks[0], 0, noise(1<<20, 1))
	holds(t, b.disks[0], 0, noise(1<<20, 1))
	a.ends()
	holds(t, b.disks[0], 0, noise(1<<20, 1))
	refused(t, fmt.Sprintf("lunserve: %s: locked by %s (pid %d); try lunserve -r %[1]s",
		image, name(), b.cmd.Process.Pid), image)
	b.ends()
}

// The name of the target comes from the image. Somebody may have it already.
func TestNameOfTargetIsTaken(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	s := start(t, image)
	names, err := filepath.Glob(configfs + "/loopback/naa.*")
	if err != nil || len(names) != 1 {
		t.Fatalf("targets: %v, %v", names, err)
	}
	s.ends()

	for _, dir := range []string{filepath.Dir(names[0]), names[0]} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
	}
	leavesNothing(t) // not of that, either
	s = start(t, image)
	write(t, s.disks[0], 0, noise(4096, 1))
	s.ends()
	holds(t, image, 0, noise(4096, 1))
}

// What was written to a disk is in its image when it is taken away while it is
// mounted, removable or not: the disk that goes before it makes no other medium
// of it.
func TestMountedDiskOfSeveralKeepsWhatWasWritten(t *testing.T) {
	for _, removable := range []bool{false, true} {
		t.Run(fmt.Sprint("removable=", removable), func(t *testing.T) {
			needTarget(t)
			dir, mnt := tmpfsDir(t), t.TempDir()
			image := newImage(t, dir, 64<<20)
			s := start(t, fmt.Sprint("--removable=", removable), image, newImage(t, dir, 64<<20))
			run(t, "mkfs.ext4", "-q", s.disks[0])
			mount(t, s.disks[0], mnt)
			want := noise(3<<20, 1)
			if err := os.WriteFile(mnt+"/file", want, 0o644); err != nil {
				t.Fatal(err)
			}
			if status := s.stop(syscall.SIGTERM); status != 1 { // it was in use
				t.Errorf("exit status %d\n%s", status, s.stderr)
			}
			run(t, "umount", "--lazy", mnt)

			s = start(t, image)
			mount(t, s.disks[0], mnt)
			holds(t, mnt+"/file", 0, want)
			run(t, "umount", mnt)
			s.ends()
		})
	}
}
