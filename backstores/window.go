package backstores

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Window returns the n bytes of b at off as a store or, if n is negative, all bytes
// from off on. It has the abilities of b. Closing it closes b.
//
// What b has lost, the window has lost too: its size is that of the part of it that
// is in b. A window whose end is given cannot be made longer.
func Window(b Backstore, off, n int64) Backstore {
	w := window{full{Backstore: b}, off, n}
	to, ok := b.(io.WriterAt)
	if !ok {
		return struct {
			Backstore
			VectorReader
			Extenter
			Resizer
		}{w, w, w, w}
	}
	w.WriterAt = to
	if t, ok := b.(Trimmer); ok {
		return thinWindow{w, t}
	}
	return w
}

// A window has the abilities of a full, and Extent, which all stores have.
type window struct {
	full
	off, n int64
}

// A thinWindow is a window of a store that is a [Trimmer].
type thinWindow struct {
	window
	trimmer Trimmer
}

// Size implements [Backstore].
func (w window) Size() int64 {
	size := max(w.Backstore.Size()-w.off, 0)
	if w.n < 0 {
		return size
	}
	return min(size, w.n)
}

// check returns an error for bytes that are not in the window.
func (w window) check(what string, off, n int64) error {
	if err := CheckRange(w.Size(), off, n); err != nil {
		return fmt.Errorf("%s %d bytes at %d: %w", what, n, off, err)
	}
	return nil
}

// ReadAt implements [io.ReaderAt].
func (w window) ReadAt(p []byte, off int64) (int, error) {
	size := w.Size()
	if off < 0 {
		return 0, w.check("read", off, int64(len(p)))
	}
	inside := p[:min(int64(len(p)), max(size-off, 0))]
	if len(inside) > 0 {
		if n, err := w.Backstore.ReadAt(inside, w.off+off); n < len(inside) {
			return n, err
		}
	}
	if len(inside) < len(p) {
		return len(inside), io.EOF
	}
	return len(p), nil
}

// ReadVec implements [VectorReader].
func (w window) ReadVec(bufs [][]byte, off int64, f Flag) error {
	if err := w.check("read", off, Length(bufs)); err != nil {
		return err
	}
	return ReadVec(w.Backstore, bufs, w.off+off, f)
}

// WriteAt implements [io.WriterAt].
func (w window) WriteAt(p []byte, off int64) (int, error) {
	if err := w.check("write", off, int64(len(p))); err != nil {
		return 0, err
	}
	return w.WriterAt.WriteAt(p, w.off+off)
}

// WriteVec implements [VectorWriter].
func (w window) WriteVec(bufs [][]byte, off int64, f Flag) error {
	if err := w.check("write", off, Length(bufs)); err != nil {
		return err
	}
	return WriteVec(w.Backstore, bufs, w.off+off, f)
}

// Zero implements [Zeroer].
func (w window) Zero(off, n int64) error {
	if err := w.check("zero", off, n); err != nil {
		return err
	}
	return Zero(w.Backstore, w.off+off, n)
}

// Trim implements [Trimmer].
func (w thinWindow) Trim(off, n int64) error {
	if err := w.check("trim", off, n); err != nil {
		return err
	}
	return w.trimmer.Trim(w.off+off, n)
}

// Extent implements [Extenter].
func (w window) Extent(off int64) (int64, bool, error) {
	if err := w.check("extent", off, 1); err != nil {
		return 0, false, err
	}
	n, data, err := Extent(w.Backstore, w.off+off)
	return min(n, w.Size()-off), data, err
}

// Resize implements [Resizer].
func (w window) Resize(n int64) error {
	switch {
	case n == 0:
		return Resize(w.Backstore, 0)
	case w.n >= 0:
		return errors.New("is a part of an image whose end is given, and cannot be made longer")
	case n > math.MaxInt64-w.off:
		return fmt.Errorf("%d bytes from byte %d on are more than a file can have", n, w.off)
	}
	return Resize(w.Backstore, w.off+n)
}
