package storetest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// A model is a store and its expected contents.
type model struct {
	t     *testing.T
	store backstores.Backstore
	want  []byte
}

// vectorLengths are lengths around 8, up to which some stores have a fast path, and
// lengths above those of usual commands.
var vectorLengths = []int{1, 2, 7, 8, 9, 64, 300}

func newModel(t *testing.T, s backstores.Backstore) *model {
	m := &model{t: t, store: s, want: make([]byte, s.Size())}
	if n, err := s.ReadAt(m.want, 0); n != len(m.want) || err != nil && err != io.EOF {
		t.Fatalf("ReadAt(%d bytes, 0) = %d, %v", len(m.want), n, err)
	}
	return m
}

func (m *model) size() int64 { return int64(len(m.want)) }

// somewhere returns a random range of up to most bytes, often aligned.
func (m *model) somewhere(r *rand.Rand, most int64) (off, n int64) {
	n = r.Int64N(most + 1)
	off = r.Int64N(m.size() - n + 1)
	switch r.IntN(4) {
	case 0:
		return off &^ 4095, n &^ 4095
	case 1:
		return off &^ 511, n
	}
	return off, n
}

func (m *model) write(bufs [][]byte, off int64, f backstores.Flag) {
	m.t.Helper()
	before := backstores.Length(bufs)
	if err := backstores.WriteVec(m.store, bufs, off, f); err != nil {
		m.t.Fatalf("WriteVec of %d buffers, %d bytes, at %d, flags %b: %v", len(bufs), before, off, f, err)
	}
	if backstores.Length(bufs) != before {
		m.t.Fatalf("WriteVec of %d buffers changed the vector", len(bufs))
	}
	copy(m.want[off:], bytes.Join(bufs, nil))
}

func (m *model) clear(name string, f func(backstores.Backstore, int64, int64) error, off, n int64) {
	m.t.Helper()
	if err := f(m.store, off, n); err != nil {
		m.t.Fatalf("%s(%d, %d): %v", name, off, n, err)
	}
	clear(m.want[off : off+n])
}

// check compares the bytes from off up to end.
func (m *model) check(off, end int64) {
	m.t.Helper()
	m.checkRange(off, end-off)
}

func (m *model) checkRange(off, n int64) {
	m.t.Helper()
	got := make([]byte, n)
	if k, err := m.store.ReadAt(got, off); int64(k) != n || err != nil && err != io.EOF {
		m.t.Errorf("ReadAt(%d bytes, %d) = %d, %v", n, off, k, err)
		return
	}
	want := m.want[off : off+n]
	if bytes.Equal(got, want) {
		return
	}
	for i := range got {
		if got[i] != want[i] {
			m.t.Errorf("byte %d (of %d read at %d) is %#02x, want %#02x", off+int64(i), n, off, got[i], want[i])
			return
		}
	}
}

// checkExtents checks that the extents cover the store exactly and that holes are
// zeros.
func (m *model) checkExtents() {
	m.t.Helper()
	holes, data := int64(0), int64(0)
	for off := int64(0); off < m.size(); {
		n, isData, err := backstores.Extent(m.store, off)
		if err != nil || n <= 0 || n > m.size()-off {
			m.t.Fatalf("Extent(%d) = %d, %v, %v in a store of %d bytes", off, n, isData, err, m.size())
		}
		if isData {
			data += n
		} else {
			holes += n
			if len(bytes.Trim(m.want[off:off+n], "\x00")) != 0 {
				m.t.Errorf("the %d bytes at %d are reported as a hole and are not zeros", n, off)
			}
		}
		// The middle of an extent is of the same kind.
		if half := n / 2; half > 0 {
			if k, d, err := backstores.Extent(m.store, off+half); err != nil || k <= 0 || d != isData {
				m.t.Errorf("Extent(%d) = %d, %v, %v inside one with data %v", off+half, k, d, err, isData)
			}
		}
		off += n
	}
	m.t.Logf("%d bytes of data, %d of holes", data, holes)
}

// uneven returns k buffers of noise of different lengths, some empty, up to 2 KiB.
func uneven(r *rand.Rand, k int) [][]byte {
	bufs := make([][]byte, k)
	for i := range bufs {
		n := r.Int64N(2048)
		switch r.IntN(4) {
		case 0:
			n = 512
		case 1:
			n %= 7
		}
		bufs[i] = noise(r, n)
	}
	return bufs
}

// cut cuts p into a vector of up to 41 buffers.
func cut(r *rand.Rand, p []byte) [][]byte {
	var bufs [][]byte
	for range r.IntN(40) {
		n := r.IntN(len(p) + 1)
		bufs = append(bufs, p[:n:n])
		p = p[n:]
	}
	return append(bufs, p)
}

// noise returns n bytes, none of them zero, so that each differs from a cleared
// byte. It repeats after a prime number of bytes, so that a displaced block is
// noticed.
func noise(r *rand.Rand, n int64) []byte {
	p := make([]byte, min(n, 8191))
	for i := range p {
		p[i] = byte(1 + r.UintN(255))
	}
	if n <= 8191 {
		return p
	}
	return bytes.Repeat(p, int(n/8191+1))[:n:n]
}
