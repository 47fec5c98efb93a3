package control

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ProcessEnd returns a channel that is closed when a process ends, which need
// not be a child. Call stop when the channel is no longer needed.
func ProcessEnd(pid int) (ended <-chan struct{}, stop func() error, err error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, nil, fmt.Errorf("process %d: %w", pid, err)
	}
	process := os.NewFile(uintptr(fd), fmt.Sprintf("process %d", pid))
	conn, err := process.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if conn.Read(readable) == nil {
			close(end)
		}
	}()
	return end, func() error {
		err := process.Close()
		<-done
		return err
	}, nil
}

// readable reports whether a read of fd would not block.
func readable(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 || err != nil && err != unix.EINTR
}
