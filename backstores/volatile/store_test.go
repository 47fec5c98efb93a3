package volatile

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func open(t testing.TB, path string) backstores.Backstore {
	t.Helper()
	b, err := image.Open(context.Background(), path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStore(t *testing.T) {
	dir := storetest.MemDir(t)
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		return New(open(t, storetest.NewImage(t, dir, storetest.OddSize)), true)
	})
}

// A model is what a store holds, and may hold after a power cut.
type model struct {
	now, flushed []byte
	versions     [][][]byte // of each page: what it held after each write since the flush
}

func newModel(all []byte) *model {
	return &model{bytes.Clone(all), bytes.Clone(all), make([][][]byte, (len(all)+page-1)/page)}
}

func (m *model) page(of []byte, i int) []byte { return of[i*page : min((i+1)*page, len(of))] }

func (m *model) write(off int, p []byte) {
	copy(m.now[off:], p)
	for i := off / page; i*page < off+len(p); i++ {
		m.versions[i] = append(m.versions[i], bytes.Clone(m.page(m.now, i)))
	}
}

func (m *model) flush() {
	copy(m.flushed, m.now)
	clear(m.versions)
}

// durable makes a write durable that was the last.
func (m *model) durable(off int, p []byte) {
	copy(m.flushed[off:], p)
	for at := off; at < off+len(p); at++ {
		for _, v := range m.versions[at/page] {
			v[at%page] = p[at-off]
		}
	}
}

// may returns an error unless the bytes may be there after a power cut.
func (m *model) may(got []byte, part bool) error {
	for i := range m.versions {
		found := bytes.Equal(m.page(got, i), m.page(m.flushed, i))
		for _, v := range m.versions[i] {
			found = found || part && bytes.Equal(m.page(got, i), v)
		}
		if !found {
			return errors.New("a page holds what it never held, or what was lost")
		}
	}
	return nil
}

// failing is a store whose flush may fail.
type failing struct {
	backstores.Backstore
	*failure
}

type failure struct{ err error }

func (f failing) WriteAt(p []byte, off int64) (int, error) {
	return len(p), f.WriteVec([][]byte{p}, off, 0)
}
func (f failing) WriteVec(bufs [][]byte, off int64, flag backstores.Flag) error {
	return backstores.WriteVec(f.Backstore, bufs, off, flag)
}
func (f failing) Trim(off, n int64) error               { return backstores.Trim(f.Backstore, off, n) }
func (f failing) Extent(off int64) (int64, bool, error) { return backstores.Extent(f.Backstore, off) }
func (f failing) Flush() error                          { return f.err }

// What is there after a power cut are exactly the bytes of the last flush or, at
// random, in each page what it held then or after one of the writes since.
func TestPowerCutLosesWhatWasNotFlushed(t *testing.T) {
	const size = 1<<20 + 300<<10 + 3000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	path := filepath.Join(storetest.MemDir(t), "image")
	all := make([]byte, size)
	for i := range size / 2 { // then a hole
		all[i] = byte(r.Uint32())
	}
	if err := os.WriteFile(path, all[:size/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	below := failing{open(t, path), new(failure)}
	defer below.Close()
	s, m := New(below, true), newModel(all)
	kept, lost := 0, 0
	for range 40 {
		for range r.IntN(40) {
			off := r.IntN(size)
			n := min(1+r.IntN(1<<(3+r.IntN(14))), size-off)
			p := make([]byte, n)
			var err error
			switch kind := r.IntN(12); kind {
			case 0:
				err = s.Trim(int64(off), int64(n))
				// It trims in parts, and a page may lose one of them.
				for at, end := off, off+n; at < end; {
					k := min(end-at, part-at%part)
					m.write(at, make([]byte, k))
					at += k
				}
			case 1:
				err = s.Zero(int64(off), int64(n))
				m.write(off, p)
			case 2:
				if err = s.Flush(); err == nil {
					m.flush()
				}
			case 3:
				below.err = errors.New("broken")
				if s.Flush() != below.err || s.WriteVec([][]byte{m.now[:9:9]}, 0, backstores.Durable) != below.err {
					t.Fatal("a flush that fails succeeds")
				}
				m.write(0, bytes.Clone(m.now[:9]))
				broken := below.err
				below.err = nil
				// What others wrote may be lost, and the failed flush was not theirs.
				if s.Owes() != broken || s.Flush() != broken || s.Owes() != nil {
					t.Fatal("a failed flush of a durable write is told to no other")
				}
			default:
				for i := range p {
					p[i] = byte(r.Uint32())
				}
				cut := r.IntN(n + 1)
				flag := backstores.Flag(0)
				if kind == 4 {
					flag = backstores.Durable
				}
				err = s.WriteVec([][]byte{p[:cut], p[cut:]}, int64(off), flag)
				m.write(off, p)
				if kind == 4 {
					m.durable(off, p)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		check := func(want func(got []byte) error) []byte {
			t.Helper()
			got, err := os.ReadFile(path)
			if err == nil {
				err = want(got)
			}
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		check(func(got []byte) error {
			if !bytes.Equal(got, m.now) {
				return errors.New("not what was written")
			}
			return nil
		})
		random := r
		if r.IntN(2) == 0 {
			random = nil
		}
		if _, err := s.Cut(random); err != nil {
			t.Fatal(err)
		}
		var one [1]byte
		if _, err := s.ReadAt(one[:], 0); err != backstores.ErrNoPower {
			t.Fatalf("a read without power: %v", err)
		}
		if err := s.WriteVec([][]byte{one[:]}, 0, 0); err != backstores.ErrNoPower {
			t.Fatalf("a write without power: %v", err)
		}
		for _, err := range []error{s.Flush(), s.Trim(0, 1), s.Zero(0, 1)} {
			if err != backstores.ErrNoPower {
				t.Fatalf("without power: %v", err)
			}
		}
		got := check(func(got []byte) error { return m.may(got, random != nil) })
		for i := range m.versions {
			if !bytes.Equal(m.page(got, i), m.page(m.now, i)) {
				lost++
			} else if !bytes.Equal(m.page(got, i), m.page(m.flushed, i)) {
				kept++
			}
		}
		s.Restore()
		m = newModel(got)
		if s.log.bytes != 0 || len(s.log.pages) != 0 {
			t.Fatal("it remembers what is lost")
		}
	}
	if kept == 0 || lost == 0 {
		t.Errorf("%d pages were kept, %d were lost", kept, lost)
	}
}
