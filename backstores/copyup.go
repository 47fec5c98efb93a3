package backstores

import (
	"math/bits"
	"sync"
)

// A hold is the stripes that a change holds.
type hold struct {
	stripes uint64
	alone   bool
}

// prepare readies the file for a change of n bytes at off: blocks that are
// changed only in part, and are not present, have the rest of them there when
// it returns. After the change comes publish, and release in any case.
func (c *cow) prepare(off, n int64, f Flag) (hold, error) {
	if err := c.makeRegions(off, n, f); err != nil {
		return hold{}, err
	}
	h := hold{stripesOf(off, n), c.lacksEdges(off, n)}
	if !c.acquire(h, f) {
		return hold{}, ErrWouldBlock
	}
	if h.alone {
		if err := c.copyEdges(off, n, f); err != nil {
			c.release(h)
			return hold{}, err
		}
	}
	return h, nil
}

// publish has readers find the changed blocks in the file from now on.
func (c *cow) publish(off, n int64, f Flag) error {
	if c.keeps != nil {
		return c.keeps.publish(off, n, f)
	}
	c.changed.add(off, n)
	return nil
}

func (c *cow) makeRegions(off, n int64, f Flag) error {
	for i := off / regionBytes; i <= (off+n-1)/regionBytes; i++ {
		if c.changed[i].Load() != nil {
			continue
		}
		if c.keeps == nil {
			c.changed[i].CompareAndSwap(nil, new(region))
			continue
		}
		if f&NoWait != 0 {
			return ErrWouldBlock
		}
		if err := c.keeps.makeRegion(i); err != nil {
			return err
		}
	}
	return nil
}

// edges are the bytes before off and after end in the blocks there.
func (c *cow) edges(off, end int64) (before, after int64) {
	return off % blockBytes, min(roundUp(end, blockBytes), c.size) - end
}

func (c *cow) lacksEdges(off, n int64) bool {
	before, after := c.edges(off, off+n)
	return before > 0 && !c.has(off) || after > 0 && !c.has(off+n)
}

func (c *cow) has(off int64) bool {
	_, present := c.changed.run(off, 1)
	return present
}

// copyEdges asks again what is present: another may have been faster.
func (c *cow) copyEdges(off, n int64, f Flag) error {
	end := off + n
	before, after := c.edges(off, end)
	// Both, before either is copied: they may be of one block.
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

var blockBuffers = sync.Pool{New: func() any { return new([blockBytes]byte) }}

// copyUp copies n bytes, less than a block, from the base.
func (c *cow) copyUp(off, n int64, f Flag) error {
	p := blockBuffers.Get().(*[blockBytes]byte)
	defer blockBuffers.Put(p)
	v := single(p[:n])
	defer v.free()
	if err := ReadVec(c.base, v.bufs, off, f); err != nil {
		return err
	}
	return c.file.WriteVec(v.bufs, c.start+off, f)
}

func stripesOf(off, n int64) uint64 {
	first, last := off/stripeBytes, (off+n-1)/stripeBytes
	if last-first >= 63 {
		return ^uint64(0)
	}
	return bits.RotateLeft64(1<<(last-first+1)-1, int(first%64))
}

// acquire takes the stripes of h, or none and returns false, which it may do
// under NoWait only.
func (c *cow) acquire(h hold, f Flag) bool {
	for left := h.stripes; left != 0; left &= left - 1 {
		s := &c.stripes[bits.TrailingZeros64(left)]
		switch {
		case f&NoWait == 0 && h.alone:
			s.Lock()
		case f&NoWait == 0:
			s.RLock()
		case h.alone && s.TryLock(), !h.alone && s.TryRLock():
		default:
			c.release(hold{h.stripes &^ left, h.alone})
			return false
		}
	}
	return true
}

func (c *cow) release(h hold) {
	for left := h.stripes; left != 0; left &= left - 1 {
		s := &c.stripes[bits.TrailingZeros64(left)]
		if h.alone {
			s.Unlock()
		} else {
			s.RUnlock()
		}
	}
}
