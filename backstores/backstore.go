// Package backstores opens disk images and gives their contents to whoever
// plays the disk.
//
// A store is small: it can be read, and it has a size. All else it may be able
// to do (be written, flushed, trimmed, moved in vectors) is an interface of
// its own, found by assertion as in io/fs. A store that lacks an ability truly
// lacks it: a read-only image has no method that could change it.
//
// Buffers passed in may be memory that the kernel lent for one command. No
// store keeps them, or touches them after the call has returned.
package backstores

import (
	"errors"
	"fmt"
	"io"
)

// A Backstore is the contents of a disk. Offsets and lengths are in bytes.
//
// Its methods, and those of the abilities below, are safe for concurrent use,
// Close excepted: it comes last, once, after the others have returned. Calls
// whose ranges overlap and of which one writes leave each byte as one of them
// would.
type Backstore interface {
	// ReadAt is that of [io.ReaderAt]: a read that reaches past the end
	// returns what there is and [io.EOF].
	io.ReaderAt

	// Close gives the store and its locks back. It flushes nothing: call
	// Flush first, whose error is the one to act on.
	io.Closer

	// Size is the length in bytes, exactly as found; it need not be a
	// multiple of any block. Nothing but [Resize] changes it.
	Size() int64
}

// A Flag asks something more of a vector read or write.
type Flag uint

const (
	// NoWait asks for an answer at once. If the store cannot give one it
	// returns [ErrWouldBlock], and the caller repeats the whole call without
	// NoWait where waiting does no harm. The buffers read into, or the range
	// written, may by then have been changed in part.
	NoWait Flag = 1 << iota

	// Durable asks that what is written be on stable storage when the call
	// returns, as if Flush had followed for these bytes alone. It means
	// nothing to a read.
	Durable
)

// ErrWouldBlock is the answer to [NoWait] of a store that would have to wait,
// and to nothing else. It comes unwrapped.
var ErrWouldBlock = errors.New("would block")

// What a store may be able to do besides being read. One that can be written
// is an [io.WriterAt] (which never grows it: a write past the end is an error
// and changes nothing), one without that has none of the abilities that
// change. The functions named after the methods do what is right for a store
// that lacks the ability.
//
// An error of the operating system can be found in what is returned by
// [errors.Is], ENOSPC and EIO among others.
type (
	VectorReader interface {
		// ReadVec fills bufs, one after the other, from the bytes at off.
		// It fills all of them or returns an error; past the end is one.
		ReadVec(bufs [][]byte, off int64, f Flag) error
	}

	VectorWriter interface {
		// WriteVec writes bufs, one after the other, to off: all of them, or
		// it returns an error and any part may have been written. Past the
		// end is an error, and then no part was.
		WriteVec(bufs [][]byte, off int64, f Flag) error
	}

	Flusher interface {
		// Flush returns when every write, Trim and Zero that had returned
		// before the call is on stable storage. Once it has failed it fails
		// for good: what was written may be gone.
		Flush() error
	}

	Trimmer interface {
		// Trim gives back the space of n bytes at off, as far as it can.
		// They read as zeros afterwards, to the byte.
		Trim(off, n int64) error
	}

	Zeroer interface {
		// Zero makes n bytes at off read as zeros and keeps their space, as
		// far as it can, so that writing them later does not run out of it.
		Zero(off, n int64) error
	}

	Extenter interface {
		// Extent tells what starts at off, which lies before the end: n > 0
		// bytes of data, or of a hole, which has no space of its own and
		// reads as zeros. What follows need not be of the other kind. A
		// write or Trim in between may make the answer old.
		Extent(off int64) (n int64, data bool, err error)
	}

	Resizer interface {
		// Resize makes the image n bytes long or, if n is 0, finds out how
		// long others have made it; Size is that from then on. It never makes
		// an image shorter, others may. After an error, which does not name
		// the image, Size is what it was.
		Resize(n int64) error
	}
)

// Hits tells how often what was read from b was decoded already, and how often
// it was not. Both are 0 where there is nothing to decode.
func Hits(b Backstore) (hits, misses uint64) {
	if c, ok := b.(interface{ Hits() (hits, misses uint64) }); ok {
		return c.Hits()
	}
	return 0, 0
}

// ReadVec fills bufs from the bytes of b at off. A b that is no [VectorReader]
// cannot know whether it would block, so it always would.
func ReadVec(b Backstore, bufs [][]byte, off int64, f Flag) error {
	if v, ok := b.(VectorReader); ok {
		return v.ReadVec(bufs, off, f)
	}
	if f&NoWait != 0 {
		return ErrWouldBlock
	}
	for _, p := range bufs {
		// A full read that ends at the end of the store may come with EOF.
		n, err := b.ReadAt(p, off)
		if n < len(p) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
		}
		off += int64(n)
	}
	return nil
}

// WriteVec writes bufs to b at off. A b that is no [VectorWriter] cannot know
// whether it would block, so it always would; to be Durable it flushes.
func WriteVec(b Backstore, bufs [][]byte, off int64, f Flag) error {
	if v, ok := b.(VectorWriter); ok {
		return v.WriteVec(bufs, off, f)
	}
	w, ok := b.(io.WriterAt)
	if !ok {
		return cannot("write")
	}
	if f&NoWait != 0 {
		return ErrWouldBlock
	}
	var n int64
	for _, p := range bufs {
		n += int64(len(p))
	}
	if err := within(b.Size(), off, n); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", n, off, err)
	}
	for _, p := range bufs {
		n, err := w.WriteAt(p, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	if f&Durable != 0 {
		return Flush(b)
	}
	return nil
}

// Flush makes all that was written to b durable. For a b that is no [Flusher]
// it is so already.
func Flush(b Backstore) error {
	if f, ok := b.(Flusher); ok {
		return f.Flush()
	}
	return nil
}

// Trim makes n bytes of b at off read as zeros, and gives their space back if
// b is a [Trimmer].
func Trim(b Backstore, off, n int64) error {
	if t, ok := b.(Trimmer); ok {
		return t.Trim(off, n)
	}
	return Zero(b, off, n)
}

// Zero makes n bytes of b at off read as zeros. For a b that is no [Zeroer] it
// writes them.
func Zero(b Backstore, off, n int64) error {
	if z, ok := b.(Zeroer); ok {
		return z.Zero(off, n)
	}
	w, ok := b.(io.WriterAt)
	if !ok {
		return cannot("write zeros")
	}
	if err := within(b.Size(), off, n); err != nil {
		return fmt.Errorf("write %d zeros at %d: %w", n, off, err)
	}
	return writeZeros(w, off, n)
}

// Extent tells what starts at off in b. A b that is no [Extenter] is all data.
func Extent(b Backstore, off int64) (n int64, data bool, err error) {
	if e, ok := b.(Extenter); ok {
		return e.Extent(off)
	}
	if err := within(b.Size(), off, 1); err != nil {
		return 0, false, fmt.Errorf("extent at %d: %w", off, err)
	}
	return b.Size() - off, true, nil
}

// Resize makes b n bytes long or, if n is 0, as long as its image has become.
// A b that is no [Resizer] stays as it is, which is an error.
func Resize(b Backstore, n int64) error {
	if r, ok := b.(Resizer); ok {
		return r.Resize(n)
	}
	return cannot("resize")
}

// within is nil if the n bytes at off lie in a store of size bytes.
func within(size, off, n int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("past the end: the size is %d", size)
	}
	return nil
}

// cannot is the error of a store that lacks the ability.
func cannot(what string) error {
	return fmt.Errorf("%s: %w", what, errors.ErrUnsupported)
}

// zeros is never written. It takes no memory until somebody reads it, and then
// the kernel's one page of zeros.
var zeros [256 << 10]byte

func writeZeros(w io.WriterAt, off, n int64) error {
	for n > 0 {
		p := zeros[:min(n, int64(len(zeros)))]
		if _, err := w.WriteAt(p, off); err != nil {
			return err
		}
		off += int64(len(p))
		n -= int64(len(p))
	}
	return nil
}
