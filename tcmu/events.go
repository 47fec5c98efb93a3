package tcmu

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// events is the file through which the kernel says that there are commands,
// and is told that there are answers.
type events struct {
	file int // /dev/uioN: an int32 read when there is news, any written to kick
	stop int // an eventfd, readable once interrupted
}

// newEvents returns the events of file, which stays the caller's.
func newEvents(file int) (*events, error) {
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &events{file, stop}, nil
}

func (e *events) close() error { return unix.Close(e.stop) }

// wait returns when the kernel has posted something since the last wait, or
// when interrupted.
func (e *events) wait() error {
	fds := [2]unix.PollFd{{Fd: int32(e.file), Events: unix.POLLIN}, {Fd: int32(e.stop), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds[:], -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		break
	}
	switch {
	case fds[1].Revents != 0:
		return nil
	case fds[0].Revents != unix.POLLIN:
		return fmt.Errorf("the kernel has removed the device (poll %#x)", fds[0].Revents)
	}
	// Only a read clears the news, and it must come before the look at the
	// ring, so that no command falls in between.
	var count [4]byte
	if _, err := unix.Read(e.file, count[:]); err != nil && err != unix.EINTR && err != unix.EAGAIN {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// kick tells the kernel to look at the tail.
func (e *events) kick() error {
	var any [4]byte
	for {
		_, err := unix.Write(e.file, any[:])
		if err == nil {
			return nil
		} else if err != unix.EINTR {
			return fmt.Errorf("kick: %w", err)
		}
	}
}

// interrupt ends every wait, now and later.
func (e *events) interrupt() {
	var one = [8]byte{1}
	_, _ = unix.Write(e.stop, one[:]) // cannot fail: an eventfd of value below 2^64
}
