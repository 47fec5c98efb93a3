package backstores

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// syncs are the calls that make an image's writes durable. It remembers when
// one failed.
//
// The kernel writes pages back in its own time. If that fails it drops them,
// and tells of it once, to the next sync on the open file: the one after
// succeeds, though the writes are gone. So the first failure is kept, and is
// the answer from then on.
//
// "Once" also means that of two syncs which run side by side only one may hear
// of the failure. Neither succeeds before both have ended.
type syncs struct {
	running sync.RWMutex // held for reading while a sync runs
	lost    atomic.Pointer[error]
}

// begin comes before a system call that syncs, end after it.
func (s *syncs) begin() { s.running.RLock() }

// end takes the error of the sync, and returns that of the first which failed.
func (s *syncs) end(err error) error {
	if err != nil {
		s.lost.CompareAndSwap(nil, &err)
	}
	s.running.RUnlock()

	s.running.Lock()
	defer s.running.Unlock()
	switch first := s.lost.Load(); {
	case first == nil:
		return nil
	case err == nil:
		return fmt.Errorf("writes may be lost since a flush failed: %w", *first)
	default:
		return err
	}
}

func fdatasync(fd int) error { return uninterrupted(unix.Fdatasync, fd) }
func fsync(fd int) error     { return uninterrupted(unix.Fsync, fd) }

// uninterrupted calls sync until it is not a signal that ended it.
func uninterrupted(sync func(fd int) error, fd int) error {
	for {
		if err := sync(fd); err != unix.EINTR {
			return err
		}
	}
}
