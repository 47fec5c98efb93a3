package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The disk is removed again, and so is an image that was made for it.
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

// With stdout closed, the image could get file descriptor 1, and the path be written
// into it.
func TestClosedStdoutIsNotTheImage(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 1<<20)
	s := launch(t, exec.Command("sh", "-c", `exec "$0" "$1" >&- <&-`, binary, image))
	s.stderr.await(t, `sparse, 1.0 MiB`)
	s.stop(syscall.SIGTERM)
	holds(t, image, 0, make([]byte, 1<<20))
}

// A closed stderr must not end lunserve.
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
	s.signal(os.Interrupt) // reports users
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
		t.Errorf("written data is not in the image: %v", err)
	}
}

// A full pipe or a stopped terminal blocks neither lunserve's end nor a detach. Lost
// events are an error, lost messages are not.
func TestDiskIsRemovedThoughOutputIsNotRead(t *testing.T) {
	t.Run("events", func(t *testing.T) {
		needTarget(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary, "--json", "--stats-interval=10ms", newImage(t, tmpfsDir(t), 16<<20))
		cmd.Stdout = w
		s := launch(t, cmd)
		w.Close()
		for full := 0; full < 3000; { // no room for another event
			time.Sleep(100 * time.Millisecond)
			if full, err = unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if status := s.stop(syscall.SIGTERM); status != 1 {
			t.Errorf("exit status %d", status)
		}
		s.stderr.await(t, `(?m)^lunserve: standard output: write: timed out; the reader has stopped$`)
	})
	for _, how := range []string{"SIGTERM", "detach"} {
		t.Run("stopped terminal, "+how, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 16<<20)
			program, _ := terminal(t)
			if err := unix.IoctlSetInt(int(program.Fd()), unix.TCXONC, unix.TCOOFF); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(binary, image)
			cmd.Stderr = program
			s := launch(t, cmd)
			disk := s.line()
			run(t, binary, "stats") // takes a second, in which a line would appear
			run(t, binary, "stats")
			if how == "detach" {
				run(t, binary, "detach", image)
			} else {
				s.signal(syscall.SIGTERM)
			}
			if status := s.wait(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			if exists(disk) {
				t.Errorf("%s is still there", disk)
			}
		})
	}
}

// unread returns the write end of a pipe whose read end is closed.
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
