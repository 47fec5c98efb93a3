package volatile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
)

// Capacity is the size of the cache in bytes, as disks have it. A store whose cache is
// full flushes by itself.
const Capacity = 64 << 20

// part is how much is trimmed or zeroed at a time, in bytes: it fits the cache several
// times.
const part = 1 << 20

// A Store is the store below and, in memory, what a power cut takes from it. While it
// has no power, all that reads or writes it fails with [backstores.ErrNoPower].
//
// It does not change the abilities that the store below has, but gives it Trim: use
// [backstores.FullyProvisioned] if that lacks it.
type Store struct {
	below backstores.Backstore
	zero  clearing    // how zeros are put back
	off   atomic.Bool // changes with mu held

	mu   sync.Mutex // held while the store below is changed, never while it is flushed
	last uint64     // number of the newest write
	lost uint64     // of the newest that was completed before a power cut
	owed error      // failure of a flush by the store itself, which no Flush has returned
	log  log
}

// New returns b, which must be an [io.WriterAt], with a cache that is empty. If b is thin
// provisioned, pages of zeros are holes again after a power cut.
func New(b backstores.Backstore, thin bool) *Store {
	s := &Store{below: b, zero: backstores.Zero, last: 1, log: newLog()}
	if thin {
		s.zero = backstores.Trim
	}
	return s
}

// power returns an error while there is none.
func (s *Store) power() error {
	if s.off.Load() {
		return backstores.ErrNoPower
	}
	return nil
}

// Size implements [backstores.Backstore].
func (s *Store) Size() int64 { return s.below.Size() }

// Close implements [backstores.Backstore].
func (s *Store) Close() error { return s.below.Close() }

// ReadAt implements [io.ReaderAt].
func (s *Store) ReadAt(p []byte, off int64) (int, error) {
	if err := s.power(); err != nil {
		return 0, err
	}
	return s.below.ReadAt(p, off)
}

// ReadVec implements [backstores.VectorReader].
func (s *Store) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	if err := s.power(); err != nil {
		return err
	}
	return backstores.ReadVec(s.below, bufs, off, f)
}

// Extent implements [backstores.Extenter].
func (s *Store) Extent(off int64) (n int64, data bool, err error) {
	if err := s.power(); err != nil {
		return 0, false, err
	}
	return backstores.Extent(s.below, off)
}

// Resize implements [backstores.Resizer].
func (s *Store) Resize(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.power(); err != nil {
		return err
	}
	err := backstores.Resize(s.below, n)
	s.log.cut(s.below.Size())
	return err
}

// WriteAt implements [io.WriterAt].
func (s *Store) WriteAt(p []byte, off int64) (int, error) {
	if err := s.WriteVec([][]byte{p}, off, 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteVec implements [backstores.VectorWriter].
func (s *Store) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	if f&backstores.NoWait != 0 {
		return backstores.ErrWouldBlock
	}
	number, err := s.change(off, backstores.Length(bufs), false, func() error { return backstores.WriteVec(s.below, bufs, off, 0) })
	if err != nil || f&backstores.Durable == 0 {
		return err
	}
	err = s.flush(number, func() { s.log.wrote(number, bufs, off) })
	s.owe(err)
	return err
}

// Trim implements [backstores.Trimmer].
func (s *Store) Trim(off, n int64) error { return s.clear(off, n, backstores.Trim) }

// Zero implements [backstores.Zeroer].
func (s *Store) Zero(off, n int64) error { return s.clear(off, n, backstores.Zero) }

func (s *Store) clear(off, n int64, do clearing) error {
	if err := backstores.CheckRange(s.Size(), off, n); err != nil {
		return fmt.Errorf("clear %d bytes at %d: %w", n, off, err)
	}
	for end := off + n; off < end; {
		n := min(end-off, part-off%part)
		if _, err := s.change(off, n, true, func() error { return do(s.below, off, n) }); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// change calls do, which changes n bytes at off, to zeros or not, when the log has what
// they held. It returns the number of the write.
func (s *Store) change(off, n int64, zeros bool, do func() error) (number uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.off.Load() && s.log.bytes > 0 && s.log.bytes+n > Capacity {
		completed := s.last
		s.mu.Unlock()
		err := s.flush(completed, func() { s.log.flushed(completed) })
		s.owe(err)
		s.mu.Lock()
		if err != nil {
			return 0, err
		}
	}
	if err := s.power(); err != nil {
		return 0, err
	}
	// The size changes only with the lock held.
	if err := backstores.CheckRange(s.Size(), off, n); err != nil {
		return 0, fmt.Errorf("write %d bytes at %d: %w", n, off, err)
	}
	s.last++
	if zeros {
		if hole, data, err := backstores.Extent(s.below, off); err == nil && !data && hole >= n {
			return s.last, do() // nothing changes
		}
	}
	if err := s.log.record(s.below, s.last, off, n); err != nil {
		return 0, err
	}
	return s.last, do()
}

// Flush implements [backstores.Flusher]. It also returns the failure of a flush by the
// store itself, which may have lost what others wrote.
func (s *Store) Flush() error {
	s.mu.Lock()
	completed, owed := s.last, s.owed
	s.owed = nil
	s.mu.Unlock()
	err := s.flush(completed, func() {
		if owed == nil {
			s.log.flushed(completed)
		}
	})
	return cmp.Or(err, owed)
}

// owe keeps the error of a flush that no initiator has asked for. Without power all is
// lost anyway, and commands say so.
func (s *Store) owe(err error) {
	if err == nil || errors.Is(err, backstores.ErrNoPower) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed = err
}

// Owes returns the failure that the next Flush returns as well, or nil.
func (s *Store) Owes() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if below, ok := s.below.(interface{ Owes() error }); ok && s.owed == nil {
		return below.Owes()
	}
	return s.owed
}

// flush flushes the store below for a write that has completed. Unless the power was
// cut since then, it calls durable, with the lock held.
func (s *Store) flush(write uint64, durable func()) error {
	if err := s.power(); err != nil {
		return err
	}
	if err := backstores.Flush(s.below); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off.Load() || write <= s.lost {
		return backstores.ErrNoPower
	}
	durable()
	return nil
}

var _ io.WriterAt = (*Store)(nil)
