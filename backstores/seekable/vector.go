package seekable

// A vector is buffers that are being filled. The slice of them is the
// caller's and stays as it is.
type vector struct {
	bufs [][]byte
	at   int // bytes of bufs[0] that are filled
}

// put copies all of p to where the last put or zero ended. There is room.
func (v *vector) put(p []byte) {
	for len(p) > 0 {
		n := copy(v.bufs[0][v.at:], p)
		p = p[n:]
		v.step(n)
	}
}

// zero puts n zeros.
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
