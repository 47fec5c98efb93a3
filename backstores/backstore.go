// Package backstores is the contract between a SCSI disk and the image behind it.
//
// A store has few methods: it can be read, and it has a size. Every other ability
// (to be written, flushed, trimmed, read and written in vectors) is an interface,
// found by type assertion as in io/fs. A read-only image has no method that could
// change it.
//
// A buffer that is passed in may be memory that the kernel shares for one command.
// A store does not use it after the call has returned.
//
// Every package may import this one. It imports none of ours, opens no file and
// knows no format.
package backstores

import (
	"errors"
	"fmt"
	"io"
)

// A Backstore is the contents of a disk. Offsets and lengths are in bytes.
//
// Its methods, and those of the abilities below, are safe for concurrent use.
// Close is the exception: it is called once, after all others have returned. If
// concurrent calls overlap and one of them writes, each byte is as one of them
// leaves it.
type Backstore interface {
	// A read past the end returns the bytes before the end and [io.EOF].
	io.ReaderAt

	// Close closes the store and releases its locks. It does not flush: call
	// Flush first and handle its error.
	io.Closer

	// Size is the exact length in bytes, which need not be a multiple of any
	// block size. Only [Resize] changes it.
	Size() int64
}

// A Flag modifies a vector read or write.
type Flag uint

const (
	// NoWait makes the call return [ErrWouldBlock] rather than wait. The caller
	// then repeats the whole call without NoWait where it may wait. Part of the
	// buffers, or of the range that is written, may have been changed.
	NoWait Flag = 1 << iota

	// Durable makes a write return when its bytes are on stable storage, like a
	// Flush of these bytes alone (SBC: FUA). A read ignores it.
	Durable
)

// ErrWouldBlock is the error of a call under [NoWait] that would have to wait. It
// is returned for no other reason, and never wrapped.
var ErrWouldBlock = errors.New("would block")

// ErrProtected is the error of a write that a store refuses although it can be
// written. It is returned bare if the cause was returned before.
var ErrProtected = errors.New("write refused")

// ErrNoPower is the error of a store that has none. It is never wrapped.
var ErrNoPower = errors.New("no power")

// ErrLocked is in the error of an image that another process has locked.
var ErrLocked = errors.New("locked by")

// Abilities of a store. A store that can be written is an [io.WriterAt] (which
// never makes it longer: a write past the end fails and changes nothing). A store
// that is none has no ability that changes it. The functions named after the
// methods also work for a store that lacks the ability.
//
// [errors.Is] finds the error of the operating system, such as ENOSPC and EIO.
type (
	VectorReader interface {
		// ReadVec fills bufs in order from the bytes at off. It fills all of
		// them or returns an error. A read past the end is an error.
		ReadVec(bufs [][]byte, off int64, f Flag) error
	}

	VectorWriter interface {
		// WriteVec writes bufs in order to off. If it returns an error, any
		// part may have been written. A write past the end is an error and
		// writes nothing.
		WriteVec(bufs [][]byte, off int64, f Flag) error
	}

	Flusher interface {
		// Flush makes every write, Trim and Zero durable that returned before
		// the call. If that fails, what was written since the last Flush may be
		// lost. A failure that the store notices otherwise is returned by the
		// next Flush. The one after that may succeed.
		Flush() error
	}

	Trimmer interface {
		// Trim makes n bytes at off read as zeros, exactly, and frees as much
		// of their space as possible.
		Trim(off, n int64) error
	}

	Zeroer interface {
		// Zero makes n bytes at off read as zeros and, as far as possible,
		// keeps their space, so that a later write does not run out of it.
		Zero(off, n int64) error
	}

	Extenter interface {
		// Extent reports whether the n > 0 bytes at off are data, or a hole,
		// which takes no space and reads as zeros. off must be before the end.
		// The next extent need not be of the other kind. A concurrent write or
		// Trim may make the answer obsolete.
		Extent(off int64) (n int64, data bool, err error)
	}

	Resizer interface {
		// Resize makes the image n bytes long or, if n is 0, adopts the length
		// that others have given it. Size then returns it. Resize never makes
		// an image shorter, but others may. If it fails, Size is unchanged and
		// the error does not name the image.
		Resize(n int64) error
	}
)

// Hits returns how many reads from b found their data decoded, and how many did
// not. Both are 0 if b does not decode.
func Hits(b Backstore) (hits, misses uint64) {
	if c, ok := b.(interface{ Hits() (hits, misses uint64) }); ok {
		return c.Hits()
	}
	return 0, 0
}

// ReadVec fills bufs from the bytes of b at off. If b is not a [VectorReader],
// NoWait always returns ErrWouldBlock.
func ReadVec(b Backstore, bufs [][]byte, off int64, f Flag) error {
	if v, ok := b.(VectorReader); ok {
		return v.ReadVec(bufs, off, f)
	}
	if f&NoWait != 0 {
		return ErrWouldBlock
	}
	for _, p := range bufs {
		// A read up to the end of the store may be complete and return EOF.
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

// WriteVec writes bufs to b at off. If b is not a [VectorWriter], NoWait always
// returns ErrWouldBlock, and Durable flushes b.
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
	if err := CheckRange(b.Size(), off, n); err != nil {
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

// Flush makes all writes to b durable. If b is not a [Flusher] they are already.
func Flush(b Backstore) error {
	if f, ok := b.(Flusher); ok {
		return f.Flush()
	}
	return nil
}

// Trim makes n bytes of b at off read as zeros, and frees their space if b is a
// [Trimmer].
func Trim(b Backstore, off, n int64) error {
	if t, ok := b.(Trimmer); ok {
		return t.Trim(off, n)
	}
	return Zero(b, off, n)
}

// Zero makes n bytes of b at off read as zeros. If b is not a [Zeroer] it writes
// them.
func Zero(b Backstore, off, n int64) error {
	if z, ok := b.(Zeroer); ok {
		return z.Zero(off, n)
	}
	w, ok := b.(io.WriterAt)
	if !ok {
		return cannot("write zeros")
	}
	if err := CheckRange(b.Size(), off, n); err != nil {
		return fmt.Errorf("write %d zeros at %d: %w", n, off, err)
	}
	return WriteZeros(w, off, n)
}

// Extent reports whether the n bytes of b at off are data. If b is not an
// [Extenter] everything is data.
func Extent(b Backstore, off int64) (n int64, data bool, err error) {
	if e, ok := b.(Extenter); ok {
		return e.Extent(off)
	}
	if err := CheckRange(b.Size(), off, 1); err != nil {
		return 0, false, fmt.Errorf("extent at %d: %w", off, err)
	}
	return b.Size() - off, true, nil
}

// Resize makes b n bytes long or, if n is 0, adopts the present length of its
// image. If b is not a [Resizer] that is an error.
func Resize(b Backstore, n int64) error {
	if r, ok := b.(Resizer); ok {
		return r.Resize(n)
	}
	return cannot("resize")
}

// CheckRange returns an error unless the n bytes at off lie in a store of size
// bytes.
func CheckRange(size, off, n int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("past the end: the size is %d", size)
	}
	return nil
}

// cannot returns the error of a store that lacks an ability.
func cannot(what string) error {
	return fmt.Errorf("%s: %w", what, errors.ErrUnsupported)
}

// zeros is never written. It takes no memory: where it is read, the kernel maps
// its zero page.
var zeros [256 << 10]byte

// WriteZeros writes n zeros to off.
func WriteZeros(w io.WriterAt, off, n int64) error {
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
