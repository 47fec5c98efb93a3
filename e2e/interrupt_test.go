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

// A file that appears in a folder shows how far the start has come.
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
				// The signal may come after the path was printed.
				path, err := s.stdout.ReadString('\n')
				if status := s.wait(); err == nil && status != 0 || err != nil && status != 1 {
					t.Errorf("exit status %d, having printed %q\n%s", status, path, s.stderr)
				}
			})
		}
	}
}

// watch returns a function that waits for a file in dir whose name begins with
// prefix and that is made after the call of watch. It fails t if the server ends
// first.
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
		f.SetReadDeadline(time.Now().Add(timeLimit))
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
