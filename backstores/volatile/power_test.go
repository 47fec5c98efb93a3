package volatile

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// A flush that had begun before the power cut does not succeed after it, even if the
// power is back.
func TestFlushDuringAPowerCutFails(t *testing.T) {
	b := &slowFlush{Backstore: open(t, storetest.NewImage(t, storetest.MemDir(t), 1<<20)), begun: make(chan bool), go_: make(chan bool)}
	defer b.Close()
	s := New(b, true)
	for _, flag := range []backstores.Flag{0, backstores.Durable} {
		done := make(chan error)
		go func() {
			err := s.WriteVec([][]byte{{1, 2, 3}}, 0, flag)
			if err == nil && flag == 0 {
				err = s.Flush()
			}
			done <- err
		}()
		<-b.begun
		b.quick = true
		if _, err := s.Cut(nil); err != nil {
			t.Fatal(err)
		}
		s.Restore()
		if err := s.Flush(); err != nil {
			t.Errorf("a flush of nothing: %v", err)
		}
		b.quick = false
		close(b.go_)
		if err := <-done; err != backstores.ErrNoPower {
			t.Errorf("flag %v: %v", flag, err)
		}
		b.go_ = make(chan bool)
	}
}

type slowFlush struct {
	backstores.Backstore
	begun, go_ chan bool
	quick      bool
}

func (b *slowFlush) WriteAt(p []byte, off int64) (int, error) {
	return len(p), backstores.WriteVec(b.Backstore, [][]byte{p}, off, 0)
}

func (b *slowFlush) Flush() error {
	if !b.quick {
		b.begun <- true
		<-b.go_
	}
	return nil
}

// The cache is bounded: when it is full the store flushes, and what was written before
// survives.
func TestFullCacheFlushes(t *testing.T) {
	path := filepath.Join(storetest.MemDir(t), "image")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 64*Capacity); err != nil {
		t.Fatal(err)
	}
	b := open(t, path)
	defer b.Close()
	s := New(b, true)
	const end = Capacity + 16<<20
	p := bytes.Repeat([]byte{7}, 1<<20)
	for at := int64(0); at < end; at += int64(len(p)) {
		if err := s.WriteVec([][]byte{p}, at, 0); err != nil {
			t.Fatal(err)
		}
		if s.log.bytes > Capacity {
			t.Fatalf("%d bytes in the cache", s.log.bytes)
		}
	}
	// A disk of holes can be trimmed as a whole.
	if err := s.Trim(end, 64*Capacity-end); err != nil {
		t.Fatal(err)
	}
	if lost, err := s.Cut(nil); err != nil || lost > Capacity || lost == 0 {
		t.Errorf("%d bytes lost, %v", lost, err)
	}
	got := make([]byte, len(p))
	if _, err := b.ReadAt(got, 0); err != nil || !bytes.Equal(got, p) {
		t.Errorf("what was written first is lost, %v", err)
	}
}

// Many write, flush and have the power cut: nothing is lost that was flushed.
func TestPowerCutBesideWriters(t *testing.T) {
	const writers, region = 4, 8192
	path := filepath.Join(storetest.MemDir(t), "image")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, path)
	defer b.Close()
	s := New(b, true)
	for n := range 30 {
		var written, durable [writers]uint64
		var wait sync.WaitGroup
		for w := range writers {
			wait.Go(func() {
				for i := uint64(1); ; i++ {
					p := bytes.Repeat(binary.BigEndian.AppendUint64(nil, i), region/8)
					flag := backstores.Flag(0)
					if i%5 == 0 && w%2 == 0 {
						flag = backstores.Durable
					}
					written[w] = i
					err := s.WriteVec([][]byte{p}, int64(w*region), flag)
					if err == nil && (w%2 == 1 && i%3 == 0) {
						flag = backstores.Durable
						err = s.Flush()
					}
					if err != nil {
						return
					}
					if flag != 0 {
						durable[w] = i
					}
				}
			})
		}
		for s.now() < uint64(1+n)*20 {
		}
		var random *rand.Rand
		if n%2 == 0 {
			random = rand.New(rand.NewPCG(1, uint64(n)))
		}
		if _, err := s.Cut(random); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for w := range writers {
			for at := w * region; at < (w+1)*region; at += page {
				p := got[at : at+page]
				i := binary.BigEndian.Uint64(p)
				if !bytes.Equal(p, bytes.Repeat(p[:8], page/8)) || i > written[w] || i < durable[w] {
					t.Errorf("writer %d: %d, not %d to %d", w, i, durable[w], written[w])
				}
			}
		}
		s.Restore()
		if err := s.WriteVec([][]byte{make([]byte, writers*region)}, 0, backstores.Durable); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *Store) now() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// A write that is durable is not lost, and what was written before in the same place
// neither: only what a page holds beside it.
func TestDurableWriteIsNotLost(t *testing.T) {
	b := open(t, storetest.NewImage(t, storetest.MemDir(t), 1<<20))
	defer b.Close()
	s := New(b, true)
	for _, tt := range []struct{ off, n, lost int64 }{{0, 2 * page, 0}, {100, page, 0}, {0, page, page}} {
		for _, w := range []struct {
			off, n int64
			flag   backstores.Flag
		}{{0, tt.lost, 0}, {tt.off + 8*page, tt.n, 0}, {tt.off + 8*page, tt.n, backstores.Durable}} {
			if err := s.WriteVec([][]byte{bytes.Repeat([]byte{9}, int(w.n))}, w.off, w.flag); err != nil {
				t.Fatal(err)
			}
		}
		want := tt.lost
		if tt.off%page != 0 { // two pages are remembered, for what is beside the write
			want += 2 * page
		}
		if lost, err := s.Cut(nil); err != nil || lost != want {
			t.Errorf("%+v: %d bytes lost, want %d, %v", tt, lost, want, err)
		}
		s.Restore()
		got := make([]byte, tt.n)
		if _, err := s.ReadAt(got, tt.off+8*page); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{9}, int(tt.n))) {
			t.Errorf("%+v: it is lost, %v", tt, err)
		}
	}
}
