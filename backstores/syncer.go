package backstores

import (
	"sync"
	"sync/atomic"
)

// A syncer has the disk take what is written to a file while more is being
// made, so that the sync at the end, for which somebody waits, finds little to
// do. Packing 1.5 GiB of /usr on 2 CPUs of an AMD EPYC, to ext4, medians of 7 in
// turn, November 2026:
//
//	one sync at the end      5.11 s
//	one each 8 MiB, too      5.25 s
//	         32 MiB          4.80 s
//	         128 MiB         4.84 s
//
// Its methods are safe for concurrent use, but for wait.
type syncer struct {
	syncs
	fd      int
	written atomic.Int64 // bytes, since a sync began
	busy    atomic.Bool
	work    sync.WaitGroup
}

// syncEvery is how many bytes are worth a sync.
const syncEvery = 32 << 20

// wrote notes that n bytes more were written. It does not wait.
func (s *syncer) wrote(n int) {
	if s.written.Add(int64(n)) < syncEvery || !s.busy.CompareAndSwap(false, true) {
		return
	}
	s.written.Store(0)
	s.work.Go(func() {
		defer s.busy.Store(false)
		s.begin()
		_ = s.end(fdatasync(s.fd)) // which remembers it
	})
}

// wait returns when no sync runs any more, with the error if one has failed.
func (s *syncer) wait() error {
	s.work.Wait()
	s.begin()
	return s.end(nil)
}
