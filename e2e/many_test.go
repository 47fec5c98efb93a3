package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The images are LUNs of one target. Their paths are printed in the order of the
// arguments.
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

// Each server removes only its own objects.
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

// The second server's error names the first.
func TestImageIsWrittenByOne(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	first := start(t, image)
	locked := fmt.Sprintf("lunserve: %s: locked by %s (pid %d)", image, name(), first.cmd.Process.Pid)
	refused(t, locked, image)
	refused(t, locked, "-r", image)
	refused(t, locked, newImage(t, tmpfsDir(t), 1<<20), image) // not even the free one is served
	write(t, first.disks[0], 0, noise(4096, 1))
	first.ends()

	refused(t, "lunserve: "+image+": already open in this process; give each image once", image, image)

	// The lock is released.
	start(t, image).ends()
	holds(t, image, 0, noise(4096, 1))
}

// A writer's error names a reader and proposes -r.
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
	refused(t, fmt.Sprintf("lunserve: %s: locked by %s (pid %d); try --read-only",
		image, name(), b.cmd.Process.Pid), image)
	b.ends()
}

// A target's name is derived from the image. Another program may have made a target
// of that name.
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
	leavesNothing(t) // beside that target
	s = start(t, image)
	write(t, s.disks[0], 0, noise(4096, 1))
	s.ends()
	holds(t, image, 0, noise(4096, 1))
}

// The server ends while one of its disks is mounted. Removing the other disk must
// not look like a change of medium, on which Linux would drop dirty pages.
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
