package raw

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// syncs remembers whether a sync of an image failed.
//
// The kernel writes pages back in its own time. If that fails it drops them and
// reports the failure once, to the next sync on the open file: the sync after
// that succeeds although the writes are lost. So syncs keeps the first failure
// and returns it from then on.
//
// The kernel may report it to only one of two syncs that run side by side, so
// neither succeeds before both have returned.
type syncs struct {
	running sync.RWMutex // held for reading during a sync
	failed  atomic.Pointer[error]
}

// begin must be called before a system call that syncs, and end after it.
func (s *syncs) begin() { s.running.RLock() }

// end takes the error of the sync, and returns it or that of an earlier one.
func (s *syncs) end(err error) error {
	if err != nil {
		s.failed.CompareAndSwap(nil, &err)
	}
	s.running.RUnlock()

	s.running.Lock()
	defer s.running.Unlock()
	switch first := s.failed.Load(); {
	case first == nil:
		return nil
	case err == nil:
		return fmt.Errorf("a flush failed, so writes may be lost: %w", *first)
	default:
		return err
	}
}

// fdatasync syncs a file, however often a signal interrupts that.
func fdatasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); err != unix.EINTR {
			return err
		}
	}
}
