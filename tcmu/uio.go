package tcmu

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A uio is /dev/uioN. Reading it waits for an event from the kernel; writing it
// makes the kernel process completions.
//
// Both system calls are made for every command and neither blocks, so they
// bypass the Go scheduler (RawSyscall). Otherwise the scheduler wakes its
// monitor thread, which polls the thread in the kernel every 20 µs: that was a
// third of the instructions of a 4 KiB read.
type uio struct {
	file *os.File
	fd   int
	conn syscall.RawConn
	err  error              // of the last read
	read func(uintptr) bool // created once, as a closure is an allocation
}

func newUIO(file *os.File) (*uio, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	u := &uio{file: file, conn: conn}
	if err := conn.Control(func(fd uintptr) { u.fd = int(fd) }); err != nil {
		return nil, err
	}
	u.read = func(fd uintptr) bool {
		var count [4]byte // of events; unused
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
		switch {
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			u.err = errno
		case n == 0:
			u.err = io.EOF
		}
		return true
	}
	return u, nil
}

// wait returns when there was an event since the last wait, or after interrupt.
func (u *uio) wait() error {
	u.err = nil
	err := u.conn.Read(u.read)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		return err
	case u.err == unix.EIO || u.err == io.EOF:
		return errors.New("the kernel has removed the device")
	}
	return u.err
}

// interrupt makes wait return, now and in all later calls until resume.
func (u *uio) interrupt() {
	_ = u.file.SetReadDeadline(time.Now()) // fails only if a read does too
}

func (u *uio) resume() { _ = u.file.SetReadDeadline(time.Time{}) }

// kick makes the kernel process completions up to the tail.
func (u *uio) kick() error {
	var any [4]byte
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(u.fd), uintptr(unsafe.Pointer(&any)), uintptr(len(any)))
		if errno == 0 {
			return nil
		} else if errno != unix.EINTR {
			return errno
		}
	}
}
