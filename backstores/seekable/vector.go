package seekable

// A vector is a list of buffers that are filled in order. The caller's slice does
// not change.
type vector struct {
	bufs [][]byte
	at   int // bytes of bufs[0] that are filled
}

// put appends p, for which there must be room.
func (v *vector) put(p []byte) {
	for len(p) > 0 {
		n := copy(v.bufs[0][v.at:], p)
		p = p[n:]
		v.step(n)
	}
}

// zero appends n zeros.
func (v *vector) zero(n int64) {
	for n > 0 {
		b := v.bufs[0][v.at:]
		b = b[:min(n, int64(len(b)))]
		clear(b)
		n -= int64(len(b))
		v.step(len(b))
	}
}

func (v *vector) step(n int) {
	if v.at += n; v.at == len(v.bufs[0]) {
		v.bufs, v.at = v.bufs[1:], 0
	}
}
