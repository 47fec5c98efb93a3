// Package seekable reads zstd files at any offset, and writes files that suit it.
//
// A zstd file is a sequence of frames, each of which is decoded from its start,
// independently of the others. So a file of many frames can be read anywhere at
// the cost of one frame, once the offsets of the frames are known:
//
//	| frame | frame | skippable frame | frame | ... | seek table |
//
// An [Index] has the offsets. They come from the seek table at the end (the format
// of zstd's contrib/seekable_format), from the headers of frames and blocks, or
// from decoding everything once. A [Reader] decodes frames into a cache of fixed
// size. [Pack] writes a file with a table.
//
// No input is trusted: sizes are checked against the file, the caller bounds the
// memory, and a frame that does not match the index is an error, never other data.
//
// Package image imports it, and whatever packs images. It imports package
// backstores alone, and never opens a file.
package seekable

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// A Source says where an Index comes from.
type Source string

const (
	FromTable    Source = "seek table"
	FromHeaders  Source = "frame headers"
	FromDecoding Source = "decoding once"
	FromCache    Source = "an earlier decoding"
)

// ErrFrames is the error of a file whose frames are too large for random access.
// It can only be decoded from end to end.
var ErrFrames = errors.New("frames too large for random access")

// An Index holds the offsets of the frames of a file. It is immutable.
type Index struct {
	Source Source
	Sums   bool // the table has a checksum of each frame

	frames []frame
	zeros  []uint64 // a bit for each frame that is known to decode to zeros
	size   int64    // decoded
	maxC   int64    // the largest frame, encoded
	maxD   int64    // and decoded
}

// A frame is an entry of an Index, which has none for empty frames.
type frame struct {
	off   int64  // in the file
	start int64  // in the decoded file
	csize uint32 // encoded size
	sum   uint32 // low half of the XXH64 of the decoded frame, if Index.Sums
}

// An index takes at most 28 bytes of memory for each frame.
const (
	maxFrames = 16 << 20
	maxSize   = 1 << 60
	smallest  = 4 + 2 + 3 // a frame's magic, the rest of its header, one block's header
)

// Frames returns the number of frames that are not empty.
func (x *Index) Frames() int { return len(x.frames) }

// Size returns the size of the decoded file.
func (x *Index) Size() int64 { return x.size }

// MaxFrame returns the decoded size of the largest frame.
func (x *Index) MaxFrame() int64 { return x.maxD }

// add appends a frame, which must follow the one before. It checks the sizes.
func (x *Index) add(off, csize, dsize, limit int64, sum uint32) error {
	switch {
	case csize < smallest || dsize < 0:
		return fmt.Errorf("frame at %d: %d bytes that decode to %d", off, csize, dsize)
	case csize > maxEncoded(limit) || dsize > limit:
		return ErrFrames
	case dsize == 0:
		return nil
	case len(x.frames) == maxFrames:
		return fmt.Errorf("more than %d frames", maxFrames)
	case dsize > maxSize-x.size:
		return fmt.Errorf("frame at %d: decodes to more than %d bytes in all", off, int64(maxSize))
	}
	x.frames = append(x.frames, frame{off, x.size, uint32(csize), sum})
	x.size += dsize
	x.maxC, x.maxD = max(x.maxC, csize), max(x.maxD, dsize)
	return nil
}

// maxEncoded returns the largest size of a frame of n bytes that cannot be
// compressed (ZSTD_COMPRESSBOUND in zstd.h).
func maxEncoded(n int64) int64 { return n + n>>8 + 64 }

// markZero records that frame i decodes to zeros.
func (x *Index) markZero(i int) {
	for len(x.zeros) <= i/64 {
		x.zeros = append(x.zeros, 0)
	}
	x.zeros[i/64] |= 1 << (i % 64)
}

func (x *Index) isZero(i int) bool {
	return i/64 < len(x.zeros) && x.zeros[i/64]>>(i%64)&1 != 0
}

// findZeros marks the frames of zeros that can be recognized by their headers. The
// frames of a hole are small and adjacent, so thousands take a few reads.
func (x *Index) findZeros(r io.ReaderAt, size int64) {
	w := walker{r: r, size: size}
	for i := range x.frames {
		f := &x.frames[i]
		// A header, a checksum, and RLE blocks of four bytes.
		if int64(f.csize) > 18+4+4*(x.dsize(i)/maxBlock+1) {
			continue
		}
		// An error is reported when the frame is read.
		w.off = f.off
		if g, err := w.next(); err == nil && g.zero && g.csize == int64(f.csize) && g.dsize == x.dsize(i) {
			x.markZero(i)
		}
	}
}

// find returns the frame of the byte at off, which must exist.
func (x *Index) find(off int64) int {
	// In most files all frames have the same size, except the last.
	if i := int(off / x.maxD); i < len(x.frames) && x.frames[i].start <= off && off < x.end(i) {
		return i
	}
	return sort.Search(len(x.frames), func(i int) bool { return x.frames[i].start > off }) - 1
}

// end returns the offset in the decoded file where frame i ends.
func (x *Index) end(i int) int64 {
	if i+1 < len(x.frames) {
		return x.frames[i+1].start
	}
	return x.size
}

func (x *Index) dsize(i int) int64 { return x.end(i) - x.frames[i].start }
