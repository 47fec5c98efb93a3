package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lunserve/lunserve/e2e/weblab"
)

// newSmallFileSystem makes an image of 32 MiB with a file system, in which noise has
// what it returns. Blocks from 25 to 31 MiB are in no file.
func newSmallFileSystem(t *testing.T, dir string) (image string, data []byte) {
	t.Helper()
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	data = noise(3<<20, 1)
	if err := os.WriteFile(filepath.Join(files, "noise"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	image = newImage(t, dir, 32<<20)
	run(t, "mkfs.ext4", "-q", "-d", files, image)
	return image, data
}

// A compressed qcow2 image, as of a cloud, is mounted and written to. Writes are kept
// in the overlay, and the image itself does not change.
func TestQcow2IsServed(t *testing.T) {
	needTarget(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	raw, data := newSmallFileSystem(t, dir)
	image, overlay := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "overlay")
	run(t, "qemu-img", "convert", "-O", "qcow2", "-c", raw, image)
	before := digest(t, image)

	s := start(t, "--overlay="+overlay, image)
	s.stderr.await(t, `/disk\.qcow2: qcow2, clusters of 64 KiB, 32 MiB, writes are kept in `+overlay)
	mount(t, s.disks[0], mnt)
	holds(t, filepath.Join(mnt, "noise"), 0, data)
	if err := os.WriteFile(filepath.Join(mnt, "new"), noise(2<<20, 9), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "umount", mnt)
	run(t, "e2fsck", "-fn", s.disks[0])
	s.ends()

	s = start(t, "--overlay="+overlay, image)
	mount(t, s.disks[0], mnt)
	holds(t, filepath.Join(mnt, "noise"), 0, data)
	holds(t, filepath.Join(mnt, "new"), 0, noise(2<<20, 9))
	run(t, "umount", mnt)
	s.ends()
	if digest(t, image) != before {
		t.Error("the image has changed")
	}
	run(t, "qemu-img", "check", "-q", overlay)
}

// A file system on a web server is used as if it were here. It waits for a server that
// comes back after 20 s. If the server does not come back, the disk can be removed.
func TestURLIsServed(t *testing.T) {
	needTarget(t)
	need(t, "nginx")
	dir, mnt := tmpfsDir(t), t.TempDir()
	raw, data := newSmallFileSystem(t, dir)
	n, err := weblab.StartNginx(filepath.Join(dir, "nginx"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	write(t, raw, 25<<20, noise(6<<20, 2))
	const unread = 29 << 20 // nothing reads as far ahead
	run(t, binary, "pack", "--frame-size=256K", raw, n.Path("disk.img.zst"))

	s := start(t, "-s", "--tmpdir="+dir, n.URL("disk.img.zst"))
	disk := s.disks[0]
	mount(t, disk, mnt)
	holds(t, filepath.Join(mnt, "noise"), 0, data[:4096])
	added := filepath.Join(mnt, "new")
	if err := os.WriteFile(added, noise(2<<20, 9), 0o644); err != nil {
		t.Fatal(err)
	}
	dropCaches(t)
	holds(t, added, 0, noise(2<<20, 9))

	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	back := time.AfterFunc(20*time.Second, func() {
		if err := n.Start(); err != nil {
			t.Error(err)
		}
	})
	defer back.Stop()
	began := time.Now()
	holds(t, filepath.Join(mnt, "noise"), 0, data)
	if took := time.Since(began); took < 19*time.Second {
		t.Errorf("all was read in %v, without the server", took)
	}
	s.stderr.await(t, `/disk\.img\.zst: READ\S* has been waiting for the storage for \d+s; try lunserve doctor `+n.URL("disk.img.zst")+`\n`)
	s.stderr.await(t, `/disk\.img\.zst: the storage answers again, after \d+s\n`)
	run(t, "umount", mnt)
	run(t, "e2fsck", "-fn", disk)

	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		f, err := os.Open(disk)
		if err == nil {
			_, err = f.ReadAt(make([]byte, 4096), unread) // EOF, once the disk is gone
			f.Close()
		}
		failed <- err
	}()
	s.stderr.await(t, `(?s)answers again.*has been waiting for the storage`)
	began = time.Now()
	s.stop(syscall.SIGTERM)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the disk was removed after %v", took)
	}
	if err := <-failed; err == nil {
		t.Error("what cannot be read has no error")
	}
}
