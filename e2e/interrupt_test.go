package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Wherever in its start lunserve is interrupted, it ends soon and leaves
// nothing. Where that is shows itself by a file that appears.
func TestInterruptedStartLeavesNothing(t *testing.T) {
	for _, tt := range []struct{ name, dir, prefix string }{
		{"backstore", configfs + "/core", "user_"},
		{"ring", "/dev", "uio"},
		{"fabric", configfs, "loopback"},
		{"SCSI device", "/dev", "sg"},
		{"disk", "/dev", "sd"},
	} {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(tt.name+" "+sig.String(), func(t *testing.T) {
				needTarget(t)
				image := newImage(t, tmpfsDir(t), 1<<20)
				appears := watch(t, tt.dir, tt.prefix)
				s := launch(t, exec.Command(binary, image))
				appears(s)
				s.signal(sig)
				// It may have been too late to stop the path from being printed.
				path, err := s.stdout.ReadString('\n')
				if status := s.wait(); err == nil && status != 0 || err != nil && status != 1 {
					t.Errorf("exit status %d, having printed %q\n%s", status, path, s.stderr)
				}
			})
		}
	}
}

// A start that waits for its image can be interrupted, too. It ends when the
// image answers.
func TestStartThatWaitsIsInterrupted(t *testing.T) {
	needTarget(t)
	name, storage := newMapping(t, newImage(t, tmpfsDir(t), 1<<20))
	run(t, "dmsetup", "suspend", name)
	t.Cleanup(func() { run(t, "dmsetup", "resume", name) })

	appears := watch(t, "/dev", "sg")
	s := launch(t, exec.Command(binary, "-r", storage))
	appears(s) // and next the kernel reads the partition table
	s.signal(syscall.SIGTERM)
	run(t, "dmsetup", "resume", name)
	if _, err := s.stdout.ReadString('\n'); err == nil {
		t.Error("it printed a path")
	}
	if status := s.wait(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
}

// newMapping makes a block device of a file, which can be suspended by its name.
func newMapping(t *testing.T, file string) (name, node string) {
	t.Helper()
	device := loop(t, file)
	name = "lunserve-e2e-" + filepath.Base(device)
	size := strings.TrimSpace(run(t, "blockdev", "--getsz", device))
	run(t, "dmsetup", "create", name, "--table", "0 "+size+" linear "+device+" 0")
	t.Cleanup(func() { run(t, "dmsetup", "remove", name) })
	// The node with the name is udev's to make.
	return name, "/dev/" + strings.TrimSpace(run(t, "dmsetup", "info", "-c", "--noheadings", "-o", "blkdevname", name))
}

// watch returns a function that waits for a file to be made in dir, from now
// on, whose name begins with prefix, by a server that has not ended before.
func watch(t *testing.T, dir, prefix string) (appears func(*server)) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE); err != nil {
		t.Fatal(&os.PathError{Op: "watch", Path: dir, Err: err})
	}
	f := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { f.Close() })
	return func(s *server) {
		t.Helper()
		f.SetReadDeadline(time.Now().Add(patience))
		go func() {
			<-s.exited
			f.SetReadDeadline(time.Now())
		}()
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			if err != nil {
				t.Fatalf("%s* did not appear: %v", filepath.Join(dir, prefix), err)
			}
			for b := buf[:n]; len(b) > 0; {
				event := (*unix.InotifyEvent)(unsafe.Pointer(unsafe.SliceData(b)))
				name := b[unix.SizeofInotifyEvent:][:event.Len]
				b = b[unix.SizeofInotifyEvent+int(event.Len):]
				if strings.HasPrefix(string(name), prefix) {
					return
				}
			}
		}
	}
}
