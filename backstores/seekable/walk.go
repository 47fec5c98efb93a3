package seekable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// The types of block (RFC 8878 §3.1.1.2.2, Block_Type).
const (
	rawBlock = iota
	rleBlock
	compressedBlock
	reservedBlock
)

// A block decodes to at most this size (RFC 8878 §3.1.1.2.4, Block_Maximum_Size),
// and at most the frame's window.
const maxBlock = 128 << 10

// maxWindow is the largest window that zstd decompresses with, at --long=31. A
// whole frame needs no window, but what zstd refuses is no zstd file.
const maxWindow uint64 = 1 << 31

// ErrDictionary is the error of a file that needs a dictionary.
var ErrDictionary = errors.New("is compressed with dictionary")

// A found is a frame as described by its headers.
type found struct {
	off, csize int64
	dsize      int64 // decoded size, or -1 if it must be decoded to find out
	most       int64 // largest possible decoded size
	window     uint64
	skip       bool // a skippable frame, which only has off and csize
	zero       bool // decodes to zeros only
}

// A walker finds the frames of a file in order.
type walker struct {
	r    io.ReaderAt
	size int64
	off  int64 // of the next frame

	// A page is read at a time: headers are small and may be close together, and
	// what follows a header is often a large block that is not needed.
	page []byte
	at   int64
	have int

	// digest, if not nil, gets the headers and checksums of frames whose headers
	// lack the size.
	digest  hash.Hash
	unsized bool // the present frame is one

	zeroSums map[int64]uint32 // the checksums of so many zeros

	// lengths says that only the lengths of frames are wanted, and that they decode
	// to at most largest bytes. What takes long to find out, zero, may be false then.
	lengths bool
	largest int64
}

func newWalker(r io.ReaderAt, size int64) *walker {
	return &walker{r: r, size: size, page: make([]byte, 4096)}
}

// one returns the frame that p is, and nothing else.
func one(p []byte) (found, error) {
	w := walker{size: int64(len(p)), page: p, have: len(p)}
	f, err := w.next()
	if err == nil && f.csize != int64(len(p)) {
		err = fmt.Errorf("takes %d bytes of the file, the index says %d", f.csize, len(p))
	}
	return f, err
}

// FrameLength returns the encoded length of the frame that p begins with, which
// may be skippable. It is found by the headers of the blocks. A frame that says that
// it decodes to more than largest bytes is an error.
func FrameLength(p []byte, largest int64) (int64, error) {
	if len(p) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	w := walker{size: int64(len(p)), page: p, have: len(p), lengths: true, largest: largest}
	f, err := w.next()
	return f.csize, err
}

// next returns the next frame, or io.EOF after the last.
func (w *walker) next() (f found, err error) {
	if w.off == w.size {
		return f, io.EOF
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("frame at %d: %w", f.off, err)
		}
	}()
	f.off = w.off
	p, err := w.peek(w.off, zstd.HeaderMaxSize)
	if err != nil {
		return f, err
	}
	var h zstd.Header
	if err := h.Decode(p); err != nil {
		return f, err
	}
	if h.Skippable {
		f.skip, f.csize = true, int64(h.HeaderSize)+int64(h.SkippableSize)
		if f.csize > w.size-w.off {
			return f, fmt.Errorf("ends past the end of the file: %w", io.ErrUnexpectedEOF)
		}
		w.off += f.csize
		return f, nil
	}
	w.unsized = !h.HasFCS && !h.SingleSegment
	w.hash(p[:h.HeaderSize])
	if h.DictionaryID != 0 {
		return f, fmt.Errorf("%w %d, which is not in the file", ErrDictionary, h.DictionaryID)
	}
	f.dsize, f.window = -1, h.WindowSize
	if h.HasFCS || h.SingleSegment {
		if h.FrameContentSize > maxSize || w.lengths && h.FrameContentSize > uint64(w.largest) {
			return f, fmt.Errorf("says it decodes to %d bytes", h.FrameContentSize)
		}
		f.dsize = int64(h.FrameContentSize)
		if h.SingleSegment {
			f.window = h.FrameContentSize
		}
	}
	if f.window > maxWindow {
		return f, fmt.Errorf("needs a window of %d bytes, more than the %d of zstd", f.window, maxWindow)
	}
	if err := w.blocks(&f, int64(h.HeaderSize)); err != nil {
		return f, err
	}
	if h.HasCheckSum {
		if p, err = w.peek(w.off+f.csize, 4); err != nil {
			return f, err
		}
		if len(p) < 4 {
			return f, fmt.Errorf("ends past the end of the file: %w", io.ErrUnexpectedEOF)
		}
		w.hash(p)
		f.csize += 4
		// A wrong checksum is reported when the frame is decoded.
		f.zero = f.zero && w.sumsZeros(f.dsize, binary.LittleEndian.Uint32(p))
	}
	if f.dsize == 0 && !f.zero {
		return f, errors.New("is empty by its header, but not by its block or its checksum")
	}
	w.off += f.csize
	return f, nil
}

// sumsZeros reports whether n zeros are known to have the checksum sum. It works
// out the sums of a few sizes, so that frames of many sizes take no longer.
func (w *walker) sumsZeros(n int64, sum uint32) bool {
	if n == 0 {
		return sum == 0x51d8e999 // XXH64 of nothing
	}
	got, ok := w.zeroSums[n]
	if !ok {
		if w.lengths || n > MaxFrame || len(w.zeroSums) == 16 {
			return false
		}
		if w.zeroSums == nil {
			w.zeroSums = make(map[int64]uint32)
		}
		got = uint32(xxh64(make([]byte, n)))
		w.zeroSums[n] = got
	}
	return got == sum
}

func (w *walker) hash(p []byte) {
	if w.digest != nil && w.unsized {
		w.digest.Write(p)
	}
}

// blocks reads the headers of all blocks of f, the first of which follows the
// header of the frame, and sets the sizes of f.
func (w *walker) blocks(f *found, header int64) error {
	block := int64(min(f.window, maxBlock))
	sum, known := int64(0), true // decoded size of the blocks
	at := f.off + header
	f.zero = true
	for last := false; !last; {
		p, err := w.peek(at, 4)
		if err != nil {
			return err
		}
		if len(p) < 3 {
			return fmt.Errorf("ends past the end of the file: %w", io.ErrUnexpectedEOF)
		}
		w.hash(p[:3])
		v := uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
		size := int64(v >> 3)
		stored := size
		last = v&1 != 0
		if size > maxBlock {
			return fmt.Errorf("block at %d: of %d bytes", at, size)
		}
		switch v >> 1 & 3 {
		case rawBlock:
			f.zero = f.zero && size == 0
			sum += size
		case rleBlock:
			stored = 1
			f.zero = f.zero && (size == 0 || len(p) == 4 && p[3] == 0)
			sum += size
		case compressedBlock:
			f.zero, known = false, false
			sum += block
		case reservedBlock:
			return fmt.Errorf("block at %d: of a reserved type", at)
		}
		at += 3 + stored
		if sum > maxSize || at > w.size {
			return fmt.Errorf("ends past the end of the file: %w", io.ErrUnexpectedEOF)
		}
	}
	f.csize, f.most = at-f.off, sum
	switch {
	case f.dsize < 0 && known:
		f.dsize = sum
	case f.dsize >= 0 && (known && f.dsize != sum || f.dsize > sum):
		return fmt.Errorf("says it decodes to %d bytes, its blocks to %d", f.dsize, sum)
	}
	if f.dsize >= 0 {
		f.most = f.dsize
	}
	return nil
}

// peek returns n bytes at off, fewer at the end of the file. They are valid until
// the next call.
func (w *walker) peek(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.size-off))
	if n <= 0 {
		return nil, fmt.Errorf("ends past the end of the file: %w", io.ErrUnexpectedEOF)
	}
	if off < w.at || off+int64(n) > w.at+int64(w.have) {
		w.have = 0
		k := int(min(int64(len(w.page)), w.size-off))
		if err := readFull(w.r, w.page[:k], off); err != nil {
			return nil, err
		}
		w.at, w.have = off, k
	}
	return w.page[off-w.at:][:n], nil
}
