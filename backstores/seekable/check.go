package seekable

import (
	"io"

	"github.com/klauspost/compress/zstd"
)

// A checker compares entries of a seek table with their frames, and adds those
// that are not empty to the index.
//
// To look at a frame costs a read, so it looks where a damaged table shows: at
// entries without contents, at each entry of another size than the one before, and
// at the last. In a file of frames of one size, as programs write them, these are
// few, and an entry whose size was changed is among them.
type checker struct {
	index    *Index
	r        io.ReaderAt
	walker   *walker
	size     int64 // of the frame before
	checked  bool  // and whether it was compared
	dec      *zstd.Decoder
	buf      measurer
	measured int64 // see maxMeasured
	most     int64 // may be measured
}

// Frames whose headers lack the size are decoded to compare them. The work is
// counted in bytes: those of the frame, and a page for the reads that it takes. A
// table with so many sizes that it takes more is neither checked nor used. A frame
// at the start and one at the end are checked whatever their size.
const (
	maxMeasured  = 64 << 20
	measuredPage = 4096
)

func newChecker(x *Index, r io.ReaderAt, size, limit int64) checker {
	return checker{index: x, r: r, walker: newWalker(r, size), most: max(maxMeasured, 2*(limit+measuredPage))}
}

// add adds an entry. Its start is the decoded size in the table.
func (c *checker) add(f frame, limit int64) error {
	switch {
	case f.start == 0 && f.csize == 0:
		return nil // stands for nothing
	case f.start > limit:
		return ErrFrames
	}
	must, zero := f.start == 0 || f.start != c.size, false
	if must || mayBeZeros(f) {
		c.walker.off = f.off
		g, err := c.walker.next()
		if err != nil || !c.match(f, g, must) {
			return c.failed()
		}
		zero = g.zero
	}
	if f.start == 0 {
		return nil
	}
	c.size, c.checked = f.start, must
	if err := c.index.add(f, f.start, limit); err != nil {
		return err
	}
	c.index.setZero(c.index.frames.n-1, zero)
	return nil
}

// last compares the last frame with its entry.
func (c *checker) last() bool {
	n := c.index.frames.n
	if n == 0 || c.checked {
		return true
	}
	f := *c.index.frames.at(n - 1)
	c.walker.off = f.off
	g, err := c.walker.next()
	return err == nil && c.match(f, g, true)
}

// failed returns the error of a table that is not used.
func (c *checker) failed() error {
	if c.measured > c.most {
		return errUnchecked
	}
	return errNoTable
}

// match reports whether the entry f describes the frame g. If the header of g
// lacks the size, and must is set, it is decoded.
func (c *checker) match(f frame, g found, must bool) bool {
	switch {
	case g.csize != int64(f.csize):
		return false
	case g.skip:
		return f.start == 0
	case g.dsize >= 0:
		return g.dsize == f.start
	case f.start > g.most:
		return false
	case !must:
		return true
	}
	if c.measured += f.start + measuredPage; c.measured > c.most {
		return false
	}
	if c.dec == nil {
		var err error
		if c.dec, err = newDecoder(); err != nil {
			return false
		}
	}
	p, err := c.buf.decode(c.r, c.dec, f.off, g.csize, f.start)
	return err == nil && int64(len(p)) == f.start
}

func (c *checker) close() {
	if c.dec != nil {
		c.dec.Close()
	}
}

// mayBeZeros reports whether a frame has room for a header, a checksum, and RLE
// blocks of four bytes, and little else. The frames of a hole are adjacent, so to
// look at thousands takes a few reads.
func mayBeZeros(f frame) bool { return int64(f.csize) <= 18+4+4*(f.start/maxBlock+1) }
