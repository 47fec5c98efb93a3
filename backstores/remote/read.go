package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lunserve/lunserve/backstores"
)

// maxNoWait is the longest read under NoWait: its copy also delays other
// commands.
const maxNoWait = 1 << 20

var errClosing = errors.New("given up, since the image is being closed")

// ReadVec implements [backstores.VectorReader]. Under NoWait it copies what is in
// memory.
func (f *File) ReadVec(bufs [][]byte, off int64, flag backstores.Flag) error {
	n := backstores.Length(bufs)
	err := backstores.CheckRange(f.Size(), off, n)
	if err == nil && n > 0 {
		err = f.read(bufs, off, n, flag&backstores.NoWait == 0)
	}
	if err == context.Canceled { // by Cancel, Close or Hurry
		err = errClosing
	}
	if err != nil && err != backstores.ErrWouldBlock {
		return fmt.Errorf("%s: read %d bytes at %d: %w", f.name, n, off, err)
	}
	return err
}

// read fills bufs, which have n > 0 bytes in all, from off.
func (f *File) read(bufs [][]byte, off, n int64, wait bool) error {
	first, last := off/blockBytes, (off+n-1)/blockBytes
	if !wait && (n > maxNoWait || !f.have(first, last)) {
		return backstores.ErrWouldBlock
	}
	f.cache.mu.Lock()
	run := f.runs.touch(off, n)
	f.readAhead(run)
	f.cache.mu.Unlock()

	v := backstores.NewSegments(bufs)
	defer v.Free()
	var until time.Time
	if wait {
		until = f.outage.readUntil(time.Now())
	}
	for end := off + n; off < end; {
		block := off / blockBytes
		s, err := f.pin(block, last, run, until)
		if err != nil {
			return err
		}
		from := off % blockBytes
		k := min(end-off, int64(s.n)-from)
		p := s.buf[from:]
		for _, to := range v.Next(k) {
			p = p[copy(to, p):]
		}
		f.cache.mu.Lock()
		f.cache.drop(s)
		f.cache.mu.Unlock()
		off += k
	}
	return nil
}

// have reports whether blocks are in memory. They may be evicted at any time.
func (f *File) have(first, last int64) bool {
	c := f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	for block := first; block <= last; block++ {
		if i, ok := c.where[block]; !ok || c.slots[i].ready != nil {
			return false
		}
	}
	return true
}

// pin returns the slot of a block, which stays until the caller drops it. If the
// block is absent, pin fetches it and others with it: those up to last are going
// to be read. It waits until the time given, if that is not zero. A reader has one
// slot pinned at a time, so readers never wait for each other's slots.
func (f *File) pin(block, last int64, run *run, until time.Time) (*slot, error) {
	c, wait := f.cache, !until.IsZero()
	c.mu.Lock()
	for {
		if i, ok := c.where[block]; ok {
			s := &c.slots[i]
			s.read = true
			if s.ready == nil {
				c.hits++
				s.users++
				c.mu.Unlock()
				return s, nil
			}
			if !wait {
				break
			}
			c.misses++
			s.users++
			ready := s.ready
			f.demands++
			c.mu.Unlock()
			err := errSlow
			timer := time.NewTimer(time.Until(until))
			select {
			case <-ready: // by a fetch, which ends when the file is closed
				err = s.err
			case <-timer.C:
				f.outage.tooSlow(until)
			}
			timer.Stop()
			c.mu.Lock()
			f.demands--
			if err != nil {
				c.drop(s)
			}
			c.mu.Unlock()
			return s, err
		}
		if !wait {
			break
		}
		if f.ctx.Err() != nil {
			c.mu.Unlock()
			return nil, f.ctx.Err()
		}
		if !f.demand(block, last, run) {
			if !time.Now().Before(until) {
				c.mu.Unlock()
				f.outage.tooSlow(until)
				return nil, errSlow
			}
			c.waitFreed(until)
		}
	}
	c.mu.Unlock()
	return nil, backstores.ErrWouldBlock
}
