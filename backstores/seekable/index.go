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
// The frames decide what the file holds, as they do for zstd -d. A seek table only
// says where they are, and is believed only if it cannot hide anything:
//
//   - Its entries cover the file from the first byte to the table.
//   - An entry without contents is a skippable frame or an empty one, or stands for
//     no bytes at all.
//   - Wherever the decoded size changes from one entry to the next, and at the last,
//     the frame is as the entry says.
//
// This is checked when the file is opened. A table that fails, or that takes too
// long to check, is ignored, and the file is read as one without a table. Every
// other entry is compared with its
// frame when that is read: it must be exactly one frame, of both sizes. If it is
// not, the read is an error. So a read of the whole file returns what zstd -d
// writes, or an error, and so does every read from a file in which the table or a
// frame is damaged. One gap remains, since to look at each frame would take as long
// as to have no table: the author of a file can make the entries of frames that
// decode to more or less look like their neighbours. Then what follows them is at
// other offsets than in the output of zstd -d, until one of them is read.
//
// No input is trusted: sizes are checked against the file, the caller bounds the
// memory, and a frame that does not match the index is an error, never other data.
//
// Package image imports it, and whatever packs images. It never opens a file.
package seekable

import (
	"errors"
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

// ErrFrames is the error of a file that can only be decoded from end to end: a
// frame is too large, or there are more than [MaxFrameCount].
var ErrFrames = errors.New("frames too large or too many for random access")

// MaxFrameCount is the largest number of frames of an Index, which takes at most 25
// bytes of memory for each.
const MaxFrameCount = 16 << 20

const maxSize = 1 << 60

// An Index holds the offsets of the frames of a file. It is immutable.
type Index struct {
	Source Source
	Sums   bool // the table has a checksum of each frame

	frames frames
	zeros  []uint64 // a bit for each frame that is known to decode to zeros
	size   int64    // decoded
	maxC   int64    // the largest frame, encoded
	maxD   int64    // and decoded
}

// Frames returns the number of frames that are not empty.
func (x *Index) Frames() int { return x.frames.n }

// Size returns the size of the decoded file.
func (x *Index) Size() int64 { return x.size }

// MaxFrame returns the decoded size of the largest frame.
func (x *Index) MaxFrame() int64 { return x.maxD }

// StoredData returns the encoded size of the frames that are not known to be zeros,
// each of at most its decoded size.
func (x *Index) StoredData() (n int64) {
	for i := range x.frames.n {
		if !x.isZero(i) {
			n += min(int64(x.frames.at(i).csize), x.dsize(i))
		}
	}
	return n
}

// add appends a frame, which must follow the one before, and of which most is the
// largest possible decoded size. The index must be settled afterwards.
func (x *Index) add(f frame, most, limit int64) error {
	if int64(f.csize) > maxEncoded(limit) || most > limit || x.frames.n == MaxFrameCount {
		return ErrFrames
	}
	x.frames.append(f)
	return nil
}

// settle completes the index, all of whose frames have sizes. It drops empty ones.
func (x *Index) settle() {
	n := 0
	x.size = 0
	for i := range x.frames.n {
		f, zero := *x.frames.at(i), x.isZero(i)
		size := f.start
		if size == 0 {
			continue
		}
		f.start = x.size
		x.size += size // below MaxFrameCount times the limit of a frame
		x.maxC, x.maxD = max(x.maxC, int64(f.csize)), max(x.maxD, size)
		*x.frames.at(n) = f
		x.setZero(n, zero)
		n++
	}
	x.frames.cut(n)
}

// maxEncoded returns the largest size of a frame of n bytes that cannot be
// compressed (ZSTD_COMPRESSBOUND in zstd.h).
func maxEncoded(n int64) int64 { return n + n>>8 + 64 }

// setZero records whether frame i is known to decode to zeros.
func (x *Index) setZero(i int, zero bool) {
	for zero && len(x.zeros) <= i/64 {
		x.zeros = append(x.zeros, 0)
	}
	if i/64 < len(x.zeros) {
		x.zeros[i/64] &^= 1 << (i % 64)
		if zero {
			x.zeros[i/64] |= 1 << (i % 64)
		}
	}
}

func (x *Index) isZero(i int) bool {
	return i/64 < len(x.zeros) && x.zeros[i/64]>>(i%64)&1 != 0
}

// find returns the frame of the byte at off, which must exist.
func (x *Index) find(off int64) int {
	// In most files all frames have the same size, except the last.
	if i := int(off / x.maxD); i < x.frames.n && x.frames.at(i).start <= off && off < x.end(i) {
		return i
	}
	return sort.Search(x.frames.n, func(i int) bool { return x.frames.at(i).start > off }) - 1
}

// end returns the offset in the decoded file where frame i ends.
func (x *Index) end(i int) int64 {
	if i+1 < x.frames.n {
		return x.frames.at(i + 1).start
	}
	return x.size
}

func (x *Index) dsize(i int) int64 { return x.end(i) - x.frames.at(i).start }
