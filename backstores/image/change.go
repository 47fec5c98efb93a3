package image

import (
	"io"

	"github.com/lunserve/lunserve/backstores"
)

// A change makes n bytes of an image those of bufs or, without bufs, zeros. It
// may also change the size.
type change struct {
	off, n int64
	bufs   [][]byte
	size   int64 // that the image gets, or 0
}

// apply does the change to p, a part of the image that begins at byte at.
func (c change) apply(p []byte, at int64) {
	if c.bufs == nil {
		if from, to := max(c.off, at), min(c.off+c.n, at+int64(len(p))); from < to {
			clear(p[from-at : to-at])
		}
		return
	}
	off := c.off
	for _, b := range c.bufs {
		if from := max(at-off, 0); from < int64(len(b)) && off-at < int64(len(p)) {
			copy(p[max(off-at, 0):], b[from:])
		}
		off += int64(len(b))
	}
}

// zeroExtended reads zeros past the end.
type zeroExtended struct{ backstores.Backstore }

func (z zeroExtended) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < z.Size() {
		var err error
		if n, err = z.Backstore.ReadAt(p, off); err != nil && err != io.EOF {
			return n, err
		}
	}
	clear(p[n:])
	return len(p), nil
}
