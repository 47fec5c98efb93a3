package seekable

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// An index that took decoding is worth saving. The format:
//
//	"lunserve index 1\n", the key
//	number of frames
//	for each: bytes since the end of the one before, encoded size,
//	          decoded size ×2, +1 if it decodes to zeros
//	SHA-256 of everything before
//
// Numbers are varints, as in package encoding/binary.
const savedMagic = "lunserve index 1\n"

var errSaved = errors.New("is not a saved index, or is damaged")

// Save encodes the index. The key identifies the file.
func (x *Index) Save(key [32]byte) []byte {
	b := append([]byte(savedMagic), key[:]...)
	b = binary.AppendUvarint(b, uint64(len(x.frames)))
	var end int64
	for i, f := range x.frames {
		size := uint64(x.dsize(i)) << 1
		if x.isZero(i) {
			size++
		}
		b = binary.AppendUvarint(b, uint64(f.off-end))
		b = binary.AppendUvarint(b, uint64(f.csize))
		b = binary.AppendUvarint(b, size)
		end = f.off + int64(f.csize)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Load decodes an index that was saved for a file of size bytes. No frame may be
// larger than limit.
func Load(b []byte, key [32]byte, size, limit int64) (*Index, error) {
	rest, ok := bytes.CutPrefix(b, append([]byte(savedMagic), key[:]...))
	if !ok || len(rest) < sha256.Size {
		return nil, errSaved
	}
	body := len(b) - sha256.Size
	if sum := sha256.Sum256(b[:body]); !bytes.Equal(sum[:], b[body:]) {
		return nil, errSaved
	}
	rest = rest[:len(rest)-sha256.Size]
	number := func() int64 {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > maxSize {
			rest = nil
			return -1
		}
		rest = rest[n:]
		return int64(v)
	}
	x := &Index{Source: FromCache}
	var off int64
	for n := number(); n > 0; n-- {
		gap, csize, dsize := number(), number(), number()
		if gap < 0 || csize < 0 || dsize < 2 || gap > size-off || csize > size-off-gap {
			return nil, errSaved
		}
		off += gap
		if err := x.add(off, csize, dsize>>1, min(limit, 1<<31-1), 0); err != nil {
			return nil, fmt.Errorf("saved index: %w", err)
		}
		if dsize&1 != 0 {
			x.markZero(len(x.frames) - 1)
		}
		off += csize
	}
	if len(rest) > 0 {
		return nil, errSaved
	}
	return x, nil
}
