package raw

import (
	"sync"

	"golang.org/x/sys/unix"
)

// syncs sees to it that a failed sync of an image is told to those who flush.
//
// The kernel writes pages back in its own time. If that fails it marks them
// clean, as if they had been written, and reports the failure once, to the next
// sync on the open file. So what was written since the sync before may be lost,
// and nothing but the writer can bring it back. Writes that come later are
// written back again.
//
// So a failure is returned by each sync that was running when it was found: the
// kernel may report it to one of two syncs that run side by side, and to the
// wrong one. For that, none succeeds before both have returned. A failure that a
// durable write has found is returned by the next flush as well: the lost page
// need not be its own. Then it is over.
type syncs struct {
	running sync.RWMutex // held for reading during a sync

	mu       sync.Mutex
	failures int
	last     error
	owed     bool // no flush has returned the last failure
}

// begin must be called before a system call that syncs. It returns what to pass
// to end after it.
func (s *syncs) begin() (failures int) {
	s.running.RLock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures
}

// end takes the error of the sync that began when there were so many failures.
// It returns the error of the sync, with a flush also that of an earlier one.
func (s *syncs) end(failures int, err error, flush bool) error {
	s.mu.Lock()
	if err != nil {
		s.failures++
		s.last, s.owed = err, true
	}
	s.mu.Unlock()
	s.running.RUnlock()

	s.running.Lock()
	defer s.running.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := s.failures != failures
	if flush {
		failed = failed || s.owed
		s.owed = false
	}
	if !failed {
		return nil
	}
	return s.last
}

// debt returns the failure that no flush has returned yet, or nil.
func (s *syncs) debt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.owed {
		return nil
	}
	return s.last
}

// fdatasync syncs a file, however often a signal interrupts that.
func fdatasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); err != unix.EINTR {
			return err
		}
	}
}
