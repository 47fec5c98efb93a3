package backstores

import (
	"bytes"
	"io"
)

// DetectZeroes returns b with each write of zeros turned into a Zero or, if unmap
// is set and b is a [Trimmer], a Trim. As in QEMU, a write counts if it is zeros
// throughout. If b cannot be written it is returned unchanged.
func DetectZeroes(b Backstore, unmap bool) Backstore {
	w, ok := b.(io.WriterAt)
	if !ok {
		return b
	}
	t, thin := b.(Trimmer)
	d := detecting{full{b, w}, Zero}
	if !thin {
		return d
	}
	if unmap {
		d.clear = Trim
	}
	return thinDetecting{d, t}
}

type detecting struct {
	full
	clear func(b Backstore, off, n int64) error
}

type thinDetecting struct {
	detecting
	Trimmer
}

func (d thinDetecting) Extent(off int64) (int64, bool, error) { return Extent(d.Backstore, off) }

func (d detecting) WriteAt(p []byte, off int64) (int, error) {
	if !IsZero(p) {
		return d.WriterAt.WriteAt(p, off)
	}
	if err := d.clear(d.Backstore, off, int64(len(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d detecting) WriteVec(bufs [][]byte, off int64, f Flag) error {
	for _, p := range bufs {
		if !IsZero(p) {
			return WriteVec(d.Backstore, bufs, off, f)
		}
	}
	if f&NoWait != 0 {
		return ErrWouldBlock
	}
	if err := d.clear(d.Backstore, off, Length(bufs)); err != nil {
		return err
	}
	if f&Durable != 0 {
		return Flush(d.Backstore)
	}
	return nil
}

// IsZero reports whether p holds zeros only. It compares p with itself, one
// byte further on.
func IsZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
