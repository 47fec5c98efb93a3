package overlay

import (
	"math/bits"
	"sync"

	"github.com/lunserve/lunserve/backstores"
)

// A hold is the stripes that a change has locked.
type hold struct {
	stripes   uint64
	exclusive bool
}

// prepare prepares the file for a change of n bytes at off: blocks that are
// changed in part and are not present have the rest copied when it returns.
// After the change follows publish and, in any case, release.
func (c *cow) prepare(off, n int64, f backstores.Flag) (hold, error) {
	if err := c.makeRegions(off, n, f); err != nil {
		return hold{}, err
	}
	h := hold{stripesOf(off, n), c.lacksEdges(off, n)}
	if !c.acquire(h, f) {
		return hold{}, backstores.ErrWouldBlock
	}
	if h.exclusive {
		if err := c.copyEdges(off, n, f); err != nil {
			c.release(h)
			return hold{}, err
		}
	}
	return h, nil
}

// publish makes the changed blocks present: they are read from the file.
func (c *cow) publish(off, n int64, f backstores.Flag) error {
	if c.mapper != nil {
		return c.mapper.publish(off, n, f)
	}
	c.present.add(off, n)
	return nil
}

func (c *cow) makeRegions(off, n int64, f backstores.Flag) error {
	for i := off / regionBytes; i <= (off+n-1)/regionBytes; i++ {
		if c.present[i].Load() != nil {
			continue
		}
		if c.mapper == nil {
			c.present[i].CompareAndSwap(nil, new(region))
			continue
		}
		if f&backstores.NoWait != 0 {
			return backstores.ErrWouldBlock
		}
		if err := c.mapper.makeRegion(i); err != nil {
			return err
		}
	}
	return nil
}

// edges returns the number of bytes before off and after end in their blocks.
func (c *cow) edges(off, end int64) (before, after int64) {
	return off % BlockBytes, min(roundUp(end, BlockBytes), c.size) - end
}

func (c *cow) lacksEdges(off, n int64) bool {
	before, after := c.edges(off, off+n)
	return before > 0 && !c.has(off) || after > 0 && !c.has(off+n)
}

// has reports whether the block at off is present.
func (c *cow) has(off int64) bool {
	_, present := c.present.run(off, 1)
	return present
}

// copyEdges looks again for the blocks that are not present, since another
// change may have made them so before the stripes were locked.
func (c *cow) copyEdges(off, n int64, f backstores.Flag) error {
	end := off + n
	before, after := c.edges(off, end)
	// Look at both before either is copied: they may be in one block.
	head, tail := before > 0 && !c.has(off), after > 0 && !c.has(end)
	if head {
		if err := c.copyUp(off-before, before, f); err != nil {
			return err
		}
	}
	if tail {
		return c.copyUp(end, after, f)
	}
	return nil
}

var blockBuffers = sync.Pool{New: func() any { return new([BlockBytes]byte) }}

// copyUp copies n bytes, less than a block, from the base to the file.
func (c *cow) copyUp(off, n int64, f backstores.Flag) error {
	p := blockBuffers.Get().(*[BlockBytes]byte)
	defer blockBuffers.Put(p)
	v := backstores.OneSegment(p[:n])
	defer v.Free()
	if err := backstores.ReadVec(c.base, v.Bufs, off, f); err != nil {
		return err
	}
	return c.file.WriteVec(v.Bufs, c.start+off, f)
}

func stripesOf(off, n int64) uint64 {
	first, last := off/stripeBytes, (off+n-1)/stripeBytes
	if last-first >= 63 {
		return ^uint64(0)
	}
	return bits.RotateLeft64(1<<(last-first+1)-1, int(first%64))
}

// acquire locks the stripes of h. Under NoWait it may lock none instead and
// return false.
func (c *cow) acquire(h hold, f backstores.Flag) bool {
	for left := h.stripes; left != 0; left &= left - 1 {
		s := &c.stripes[bits.TrailingZeros64(left)]
		switch {
		case f&backstores.NoWait == 0 && h.exclusive:
			s.Lock()
		case f&backstores.NoWait == 0:
			s.RLock()
		case h.exclusive && s.TryLock(), !h.exclusive && s.TryRLock():
		default:
			c.release(hold{h.stripes &^ left, h.exclusive})
			return false
		}
	}
	return true
}

func (c *cow) release(h hold) {
	for left := h.stripes; left != 0; left &= left - 1 {
		s := &c.stripes[bits.TrailingZeros64(left)]
		if h.exclusive {
			s.Unlock()
		} else {
			s.RUnlock()
		}
	}
}
