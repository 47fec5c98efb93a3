package seekable

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Sizes that took decoding are worth saving. The format:
//
//	"lunserve index 2\n", the key
//	the decoded size of each frame whose header lacks it, in the order of the file
//	SHA-256 of everything before
//
// Sizes are varints, as in package encoding/binary. Nothing else is saved: offsets,
// and which frames are zeros, come from the file.
const savedMagic = "lunserve index 2\n"

var errSaved = errors.New("is not a saved index, or is damaged")

// Save returns what [Scanned.Decode] found. The key identifies the file.
func (s *Scanned) Save(key [32]byte) []byte {
	b := append([]byte(savedMagic), key[:]...)
	b = append(b, s.sizes...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// Load completes an index from what was saved for a file with this key. If it
// fails the index is as before.
func (s *Scanned) Load(b []byte, key [32]byte) error {
	rest, ok := bytes.CutPrefix(b, append([]byte(savedMagic), key[:]...))
	if !ok || len(rest) < sha256.Size {
		return errSaved
	}
	body := len(b) - sha256.Size
	if sum := sha256.Sum256(b[:body]); !bytes.Equal(sum[:], b[body:]) {
		return errSaved
	}
	sizes := rest[:len(rest)-sha256.Size]
	check := func(f *frame, size int64) bool { return size <= -f.start }
	if !s.eachSize(sizes, check) {
		return errSaved
	}
	s.eachSize(sizes, func(f *frame, size int64) bool {
		f.start = size
		return true
	})
	s.Source, s.Sized = FromCache, true
	s.settle()
	return nil
}

// eachSize calls do with each frame whose size is unknown and its size in b. It
// reports whether do has returned true for all, and these are all sizes in b.
func (s *Scanned) eachSize(b []byte, do func(f *frame, size int64) bool) bool {
	for i := range s.frames.n {
		f := s.frames.at(i)
		if f.sum != unsized {
			continue
		}
		size, n := binary.Uvarint(b)
		if n <= 0 || size > maxSize || !do(f, int64(size)) {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}
