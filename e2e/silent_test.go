package e2e

import (
	enc "encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A start that waits for storage which does not answer ends when it is
// interrupted.
func TestStartThatWaitsIsInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			needTarget(t)
			dir, asked := silentDir(t)
			image := filepath.Join(dir, "disk.img")
			s := launch(t, exec.Command(binary, image))
			asked()
			if status := s.stop(sig); status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			s.stderr.await(t, `^lunserve: `+image+`: interrupted; its storage does not answer\n$`)
		})
	}
}

// silentDir mounts a file system that answers nothing, and returns a function
// that waits until it has been asked for something.
func silentDir(t *testing.T) (dir string, asked func()) {
	t.Helper()
	exec.Command("modprobe", "fuse").Run() // it may be built in
	if !exists("/dev/fuse") {
		t.Fatal("/dev/fuse: the kernel has no FUSE")
	}
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fuse) })
	dir = t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)
	if err := unix.Mount("silent", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run(t, "umount", "--lazy", dir) })
	asked = func() {
		t.Helper()
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fuse), Events: unix.POLLIN}}, int(patience/time.Millisecond))
		if n != 1 {
			t.Fatalf("/dev/fuse: nobody asks: %v", err)
		}
	}
	asked()
	request := make([]byte, 64<<10)
	if _, err := unix.Read(fuse, request); err != nil {
		t.Fatal(err)
	}
	// It must say that it is there (struct fuse_init_out in linux/fuse.h).
	const header, initOut = 16, 64
	answer := make([]byte, header+initOut)
	enc.NativeEndian.PutUint32(answer, uint32(len(answer)))
	copy(answer[8:16], request[8:]) // the request's number
	enc.NativeEndian.PutUint32(answer[header:], 7)
	enc.NativeEndian.PutUint32(answer[header+4:], 31)
	enc.NativeEndian.PutUint32(answer[header+20:], 4096) // bytes in a write
	if _, err := unix.Write(fuse, answer); err != nil {
		t.Fatal(err)
	}
	// What is asked from here on is not even read: the kernel cannot take back
	// what it has handed over.
	return dir, asked
}
