package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// orphaned is closed when the process that started this one ends.
//
// PR_SET_PDEATHSIG will not do: it goes by the thread that started us, which
// may end long before its process.
func orphaned(down *undo) (<-chan struct{}, error) {
	pid := os.Getppid()
	if pid == 1 {
		return nil, errors.New("--exit-with-parent: the process that started this one has ended already, or is the first of all")
	}
	ended, err := processEnd(pid, down)
	if err == nil && os.Getppid() != pid {
		// It has just ended, and its number may be another's.
		now := make(chan struct{})
		close(now)
		return now, nil
	}
	return ended, err
}

// processEnd is closed when a process ends that is not ours to wait for.
func processEnd(pid int, down *undo) (<-chan struct{}, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	process := os.NewFile(uintptr(fd), fmt.Sprintf("process %d", pid))
	conn, err := process.SyscallConn()
	if err != nil {
		return nil, err
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if conn.Read(readable) == nil {
			close(ended)
		}
	}()
	down.push(func() error {
		err := process.Close()
		<-done
		return err
	})
	return ended, nil
}

// readable tells whether a read of fd would not wait.
func readable(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 || err != nil && err != unix.EINTR
}
