package volatile

import (
	"math/rand/v2"

	"github.com/lunserve/lunserve/backstores"
)

// Cut cuts the power. What was not flushed is gone or, with random, any part of it:
// each write of each page is kept by a chance of one half, as disks write in any
// order. Cut returns how many bytes it has put back.
//
// If an error is returned, the store has no power either, and some of what was not
// flushed is still there. A second Cut does nothing.
func (s *Store) Cut(random *rand.Rand) (lost int64, err error) {
	s.mu.Lock()
	if s.off.Load() {
		s.mu.Unlock()
		return 0, nil
	}
	s.off.Store(true)
	s.lost = s.last
	s.last++ // so that a flush that begins now is not of what is lost
	lost, err = s.log.undo(s.below, s.zero, random)
	s.mu.Unlock()
	if e := backstores.Flush(s.below); err == nil {
		err = e
	}
	return lost, err
}

// Restore ends the power cut.
func (s *Store) Restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off.Store(false)
}
