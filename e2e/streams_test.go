package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A path that cannot be printed helps nobody: the disk is taken down again, and
// so is the image that was made for it.
func TestPathCannotBePrinted(t *testing.T) {
	needTarget(t)
	image := filepath.Join(tmpfsDir(t), "new.img")
	cmd := exec.Command(binary, "--size=1M", image)
	cmd.Stdout = unread(t)
	refusedAs(t, `lunserve: .*broken pipe`, cmd)
	if exists(image) {
		t.Error("the image that was made is still there")
	}
}

// With stdout closed, the path goes nowhere, and least of all into the image,
// which could have got the number of stdout.
func TestClosedStdoutIsNotTheImage(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	s := launch(t, exec.Command("sh", "-c", `exec "$0" "$1" >&- <&-`, binary, image))
	s.stderr.await(t, `sparse, 1.0 MiB`)
	s.stop(syscall.SIGTERM)
	holds(t, image, 0, make([]byte, 1<<20))
}

// Nobody has to listen to what is said on stderr.
func TestStderrWithoutAReader(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	cmd := exec.Command(binary, image)
	cmd.Stderr = unread(t)
	s := launch(t, cmd)
	disk := s.line()
	run(t, "mkfs.ext4", "-q", disk)
	dir := t.TempDir()
	mount(t, disk, dir)
	s.signal(os.Interrupt) // is said to be in use
	if err := os.WriteFile(dir+"/file", noise(1<<20, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "umount", dir)
	if status := s.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	run(t, "e2fsck", "-fn", image)
	b, err := os.ReadFile(image)
	if err != nil || !bytes.Contains(b, noise(4096, 1)) {
		t.Errorf("what was written is not in the image: %v", err)
	}
}

// unread is a pipe that nobody reads.
func unread(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}
