package storetest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// readWhatWasWritten makes random changes to the store and to a slice of bytes,
// and compares the two.
func readWhatWasWritten(t *testing.T, m *model) {
	w := m.store.(io.WriterAt)
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 300 {
		off, n := m.somewhere(r, 32<<10)
		switch r.IntN(8) {
		case 0:
			m.clear("Trim", backstores.Trim, off, n)
		case 1:
			m.clear("Zero", backstores.Zero, off, n)
		case 2, 3:
			p := noise(r, n)
			if k, err := w.WriteAt(p, off); k != len(p) || err != nil {
				t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", n, off, k, err)
			}
			copy(m.want[off:], p)
		default:
			m.write(cut(r, noise(r, n)), off, 0)
		}
		if i%100 == 99 {
			m.check(0, m.size())
		} else {
			m.check(max(off-700, 0), min(off+n+700, m.size()))
		}
	}
}

func writeVectors(t *testing.T, m *model) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, k := range vectorLengths {
		for _, f := range []backstores.Flag{0, backstores.Durable} {
			bufs := uneven(r, k)
			for _, off := range []int64{0, 1, 511, 4097, m.size() - backstores.Length(bufs)} {
				m.write(bufs, off, f)
			}
		}
	}
	m.check(0, m.size())
}

func writePastTheEnd(t *testing.T, m *model) {
	w := m.store.(io.WriterAt)
	p := noise(rand.New(rand.NewPCG(6, 6)), 1024)
	for _, off := range outside(m.size()) {
		if _, err := w.WriteAt(p, off); err == nil {
			t.Errorf("WriteAt of 1024 bytes at %d succeeded", off)
		}
		if err := backstores.Trim(m.store, off, 1024); err == nil {
			t.Errorf("Trim of 1024 bytes at %d succeeded", off)
		}
		if err := backstores.Zero(m.store, off, 1024); err == nil {
			t.Errorf("Zero of 1024 bytes at %d succeeded", off)
		}
		for _, f := range []backstores.Flag{0, backstores.NoWait, backstores.Durable} {
			err := backstores.WriteVec(m.store, [][]byte{p[:512], p[512:]}, off, f)
			if err == nil || f&backstores.NoWait == 0 && err == backstores.ErrWouldBlock {
				t.Errorf("WriteVec of 1024 bytes at %d, flags %b: %v", off, f, err)
			}
		}
	}
	for _, n := range []int64{-1, -1 << 63} {
		if backstores.Trim(m.store, 4096, n) == nil || backstores.Zero(m.store, 4096, n) == nil {
			t.Errorf("Trim or Zero of %d bytes succeeded", n)
		}
	}
	if got, err := io.ReadAll(io.NewSectionReader(m.store, 0, m.size()+4096)); err != nil || !bytes.Equal(got, m.want) {
		t.Errorf("refused writes changed the store: %d bytes, want %d (error %v)", len(got), len(m.want), err)
	}
}

func writeNoWait(t *testing.T, m *model) {
	r := rand.New(rand.NewPCG(7, 7))
	blocked := 0
	for range 200 {
		bufs := uneven(r, 1+r.IntN(20))
		off := r.Int64N(m.size() - backstores.Length(bufs))
		err := backstores.WriteVec(m.store, bufs, off, backstores.NoWait)
		switch err {
		case nil:
			copy(m.want[off:], bytes.Join(bufs, nil))
		case backstores.ErrWouldBlock:
			blocked++
			m.write(bufs, off, 0)
		default:
			t.Fatalf("WriteVec at %d: %v", off, err)
		}
		m.check(off, off+backstores.Length(bufs))
	}
	m.check(0, m.size())
	t.Logf("%d of 200 would have blocked", blocked)
}

// writeConcurrently runs eight writers, each with stripes that share pages with
// those of the others.
func writeConcurrently(t *testing.T, m *model) {
	const stripe = 1000
	var wg sync.WaitGroup
	for i := range int64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 8))
			for off := i * stripe; off+stripe <= m.size(); off += 8 * stripe {
				p := noise(r, stripe)
				copy(m.want[off:], p) // the stripes do not overlap
				bufs := cut(r, p)
				err := backstores.WriteVec(m.store, bufs, off, backstores.NoWait)
				if err == backstores.ErrWouldBlock {
					err = backstores.WriteVec(m.store, bufs, off, 0)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m.check(0, m.size())
}

// writeDurable checks that the bytes are written and that syncs may run side by
// side. It cannot check that they survive a power cut.
func writeDurable(t *testing.T, m *model) {
	r := rand.New(rand.NewPCG(9, 9))
	m.write(uneven(r, 3), 12345, backstores.Durable)

	bufs := uneven(r, 2)
	switch err := backstores.WriteVec(m.store, bufs, 50_000, backstores.Durable|backstores.NoWait); err {
	case nil:
		copy(m.want[50_000:], bytes.Join(bufs, nil))
	case backstores.ErrWouldBlock:
		m.write(bufs, 50_000, backstores.Durable)
	default:
		t.Error(err)
	}
	var wg sync.WaitGroup
	for i := range int64(4) {
		p := noise(r, 4096)
		copy(m.want[i*4096:], p)
		wg.Go(func() {
			if err := backstores.WriteVec(m.store, [][]byte{p}, i*4096, backstores.Durable); err != nil {
				t.Error(err)
			}
			if err := backstores.Flush(m.store); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m.check(0, m.size())
}

func flush(t *testing.T, m *model) {
	for i := range int64(3) {
		m.write([][]byte{{1, 2, 3}}, i*100_000, 0)
		if err := backstores.Flush(m.store); err != nil {
			t.Error(err)
		}
	}
	m.check(0, m.size())
}

func trimReadsZeros(t *testing.T, m *model) { readsZeros(t, m, "Trim", backstores.Trim) }
func zeroReadsZeros(t *testing.T, m *model) { readsZeros(t, m, "Zero", backstores.Zero) }

// readsZeros clears ranges that begin and end anywhere in a page, a sector and a
// larger block. Each time the store is full of noise before.
func readsZeros(t *testing.T, m *model, name string, clear func(backstores.Backstore, int64, int64) error) {
	r := rand.New(rand.NewPCG(10, 10))
	for _, span := range [][2]int64{
		{0, 0}, {4096, 0}, {0, 1}, {5, 1}, {4095, 2}, {1, 511}, {512, 512}, {100, 4096}, {4096, 4096},
		{3, 12288}, {511, 65538}, {65536, 65536}, {m.size() - 1, 1}, {m.size() - 5000, 5000}, {m.size(), 0},
		{0, m.size()},
	} {
		m.write([][]byte{noise(r, m.size())}, 0, 0)
		m.clear(name, clear, span[0], span[1])
		m.check(0, m.size())
	}
	// What is written afterwards is data.
	m.write([][]byte{noise(r, 10_000)}, 777, 0)
	m.check(0, m.size())
}

func extentsAfterTrim(t *testing.T, m *model) {
	r := rand.New(rand.NewPCG(11, 11))
	m.write([][]byte{noise(r, m.size())}, 0, 0)
	m.checkExtents()
	m.clear("Trim", backstores.Trim, 65536, 2*65536)
	m.clear("Trim", backstores.Trim, 500_000, 300_000)
	m.checkExtents()
	m.clear("Trim", backstores.Trim, 0, m.size())
	m.checkExtents()
	m.clear("Zero", backstores.Zero, 0, m.size())
	m.write([][]byte{{1}}, m.size()-1, 0)
	m.checkExtents()
}
