package iscsi

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// departTime limits the wait for sessions that are ending: their commands may hang.
const departTime = time.Second

// awaitDeparted waits until the sessions of an initiator have ended whose connections it
// has closed. Who comes back, perhaps by another port, finds its I_T nexus lost, and
// what it kept others from, as PREVENT ALLOW MEDIUM REMOVAL does.
func (t *Target) awaitDeparted(initiator string) {
	var departed []*conn
	t.mu.Lock()
	for _, c := range t.sessions {
		if c.initiator == initiator && hungUp(c.net) {
			departed = append(departed, c)
		}
	}
	t.mu.Unlock()
	deadline := time.After(departTime)
	for _, c := range departed {
		select {
		case <-c.ended:
		case <-deadline:
			return
		case <-t.stop:
			return
		}
	}
}

// hungUp reports whether the other end of a connection has closed it.
func hungUp(c any) (closed bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		_, _ = unix.Poll(p, 0)
		closed = p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return closed || err != nil
}
