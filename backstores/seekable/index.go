// Package seekable reads zstd files at any offset, and writes files that are
// made for it.
//
// A zstd file is a row of frames. Each is decoded by itself, from its start; so
// one that holds many can be read anywhere at the cost of a frame, once it is
// known where they begin:
//
//	| frame | frame | skippable frame | frame | ... | seek table |
//
// An [Index] knows. It comes from the seek table at the end (the format of
// zstd's contrib/seekable_format), from the headers of frames and blocks, or
// from decoding everything once. A [Reader] decodes frames into a cache of
// fixed size, [Pack] writes a file with a table.
//
// What a file says of itself is not believed: sizes are checked against the
// file, memory is bounded by the caller, and a frame that is not what the
// index says is an error, never other data.
package seekable

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// A Source is where an Index was found.
type Source string

const (
	FromTable    Source = "seek table"
	FromHeaders  Source = "frame headers"
	FromDecoding Source = "decoding once"
	FromCache    Source = "an earlier decoding"
)

// ErrFrames is the error of a file whose frames are too large to be read one
// at a time. It can be decoded from end to end only.
var ErrFrames = errors.New("frames too large for random access")

// An Index tells where the frames of a file are. It does not change.
type Index struct {
	Source Source
	Sums   bool // there is a checksum of each frame in the table

	frames []frame
	zeros  []uint64 // a bit for each frame that is known to decode to zeros
	size   int64    // decoded
	maxC   int64    // the largest frame, encoded
	maxD   int64    // and decoded
}

// A frame is found in the file at off. Frames that decode to nothing are not
// in an Index.
type frame struct {
	off   int64
	start int64  // of what it decodes to
	csize uint32 // encoded
	sum   uint32 // low half of the XXH64 of what it decodes to, if Index.Sums
}

// Most bytes of memory that an index takes are 28 a frame.
const (
	maxFrames = 16 << 20
	maxSize   = 1 << 60
	smallest  = 4 + 2 + 3 // a frame's magic, the rest of its header, one block's header
)

func (x *Index) Frames() int     { return len(x.frames) }
func (x *Index) Size() int64     { return x.size }
func (x *Index) MaxFrame() int64 { return x.maxD }

// add appends a frame. All that is checked of its place is that it follows the
// one before.
func (x *Index) add(off, csize, dsize, limit int64, sum uint32) error {
	switch {
	case csize < smallest || dsize < 0:
		return fmt.Errorf("frame at %d: %d bytes that decode to %d", off, csize, dsize)
	case csize > mostEncoded(limit) || dsize > limit:
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

// mostEncoded is how large a frame of n bytes is that cannot be compressed, at
// most (ZSTD_COMPRESSBOUND in zstd.h).
func mostEncoded(n int64) int64 { return n + n>>8 + 64 }

// markZero notes that frame i decodes to zeros.
func (x *Index) markZero(i int) {
	for len(x.zeros) <= i/64 {
		x.zeros = append(x.zeros, 0)
	}
	x.zeros[i/64] |= 1 << (i % 64)
}

func (x *Index) isZero(i int) bool {
	return i/64 < len(x.zeros) && x.zeros[i/64]>>(i%64)&1 != 0
}

// findZeros marks the frames of zeros that can be told from their headers.
// Those of a hole are small and side by side, so a look at thousands is a few
// reads.
func (x *Index) findZeros(r io.ReaderAt, size int64) {
	w := walker{r: r, size: size}
	for i := range x.frames {
		f := &x.frames[i]
		// A header, a checksum, and blocks of one byte with a header of three.
		if int64(f.csize) > 18+4+4*(x.dsize(i)/maxBlock+1) {
			continue
		}
		// What is wrong with a frame is for those to know who read it.
		w.off = f.off
		if g, err := w.next(); err == nil && g.zero && g.csize == int64(f.csize) && g.dsize == x.dsize(i) {
			x.markZero(i)
		}
	}
}

// find returns the frame that holds the byte at off, which is in the file.
func (x *Index) find(off int64) int {
	// Most files have frames of one size, bar the last.
	if i := int(off / x.maxD); i < len(x.frames) && x.frames[i].start <= off && off < x.end(i) {
		return i
	}
	return sort.Search(len(x.frames), func(i int) bool { return x.frames[i].start > off }) - 1
}

// end is where the bytes of frame i end, decoded.
func (x *Index) end(i int) int64 {
	if i+1 < len(x.frames) {
		return x.frames[i+1].start
	}
	return x.size
}

func (x *Index) dsize(i int) int64 { return x.end(i) - x.frames[i].start }
