package seekable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lunserve/lunserve/backstores"
)

// A source counts the reads of a file, and can block them.
type source struct {
	*bytes.Reader
	gate chan struct{} // if not nil, reads wait until it is closed

	mu    sync.Mutex
	reads map[int64]int // by offset
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	s.reads[off]++
	s.mu.Unlock()
	if s.gate != nil {
		<-s.gate
	}
	return s.Reader.ReadAt(p, off)
}

// counted packs an image in frames of a size, and returns a reader and its source.
func counted(t *testing.T, img []byte, frame, memory int64) (*Reader, *source) {
	t.Helper()
	file, _ := packed(t, img, frame)
	src := &source{Reader: bytes.NewReader(file), reads: map[int64]int{}}
	s, err := Scan(ctx, src.Reader, int64(len(file)), memory/4, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(src, s.Index, Config{Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, src
}

// noise returns n bytes without a frame of zeros.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// However many readers want a frame at once, it is read and decoded once.
func TestFrameIsDecodedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frame = 64 << 10
		img := noise(4 * frame)
		r, src := counted(t, img, frame, 1<<20)
		src.gate = make(chan struct{})
		for i := range 20 {
			go func() {
				p := make([]byte, 1000)
				off := int64(frame + 1000*i)
				if _, err := r.ReadAt(p, off); err != nil || !bytes.Equal(p, img[off:off+1000]) {
					t.Errorf("read at %d: other bytes, or %v", off, err)
				}
			}()
		}
		synctest.Wait() // all of them wait
		close(src.gate)
		synctest.Wait()
		if n := src.reads[r.index.frames.at(1).off]; n != 1 || len(src.reads) != 1 {
			t.Errorf("the frame was read %d times; reads by offset: %v", n, src.reads)
		}
	})
}

// Frames that are read repeatedly stay cached while others are read once.
func TestScanLeavesWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frame = 4 << 10
		img := noise(8 << 20)
		r, _ := counted(t, img, frame, 1<<20)
		hot := len(r.cache.slots) / 2
		p := make([]byte, frame)
		for range 2 {
			for i := range hot {
				if _, err := r.ReadAt(p[:512], int64(i)*3*frame); err != nil {
					t.Fatal(err)
				}
			}
		}
		for off := int64(0); off < r.Size(); off += frame {
			if _, err := r.ReadAt(p, off); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // for what reads ahead
		for i := range hot {
			off := int64(i) * 3 * frame
			if err := r.ReadCached([][]byte{p[:512]}, off, 512); err != nil || !bytes.Equal(p[:512], img[off:off+512]) {
				t.Fatalf("frame %d of %d that are in use: other bytes, or %v", i, hot, err)
			}
		}
	})
}

// To read a file from end to end that is larger than the cache uses a quarter of
// its slots, and a few for frames in flight. A file that fits stays cached. Zeros
// take no slot.
func TestReadingFromEndToEndTakesAQuarter(t *testing.T) {
	for _, of := range []struct{ data, zeros int }{{8 << 20, 0}, {900 << 10, 0}, {900 << 10, 8 << 20}} {
		t.Run(fmt.Sprint(of), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const frame = 4 << 10
				img := append(noise(of.data), make([]byte, of.zeros)...)
				size := len(img)
				r, src := counted(t, img, frame, 1<<20)
				p := make([]byte, 3*frame)
				for range 2 {
					for off := 0; off < size; off += len(p) {
						q := p[:min(len(p), size-off)]
						if _, err := r.ReadAt(q, int64(off)); err != nil || !bytes.Equal(q, img[off:off+len(q)]) {
							t.Fatalf("read at %d: other bytes, or %v", off, err)
						}
						synctest.Wait() // for what reads ahead
					}
				}
				slots := len(r.cache.slots)
				if slots < of.data/frame {
					if most := slots/4 + r.ahead.most + 3; r.cache.made > most {
						t.Errorf("took %d of %d slots, and wanted %d at most", r.cache.made, slots, most)
					}
					return
				}
				for off, n := range src.reads {
					if n != 1 {
						t.Errorf("what is at %d in the file was read %d times", off, n)
					}
				}
			})
		})
	}
}

// Frames of zeros are recognized by their headers. They are never read, and evict
// no other frame.
func TestZerosCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frame = 64 << 10
		r, src := counted(t, make([]byte, 100*frame+1), frame, 1<<20)
		p := bytes.Repeat([]byte{1}, int(r.Size()))
		if _, err := r.ReadAt(p, 0); err != nil || !backstores.IsZero(p) {
			t.Errorf("not zeros, or %v", err)
		}
		p[0] = 1
		if err := r.ReadCached([][]byte{p}, 0, int64(len(p))); err != nil || !backstores.IsZero(p) {
			t.Errorf("at once: not zeros, or %v", err)
		}
		synctest.Wait()
		if len(src.reads) > 0 || r.cache.made > 0 {
			t.Errorf("took %d places and the reads %v", r.cache.made, src.reads)
		}
	})
}

// All memory of a reader that depends on the size of frames is within the limit,
// whatever that size is.
func TestMemoryIsAsGiven(t *testing.T) {
	const memory = 4 << 20
	for _, frame := range []int64{4 << 10, 100_000, 1_000_000} {
		t.Run(fmt.Sprint(frame), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := counted(t, noise(12<<20), frame, memory)
				p := make([]byte, 1<<20)
				for off := int64(0); off < r.Size(); off += int64(len(p)) {
					if _, err := r.ReadAt(p, off); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				took := int64(len(r.arena))
				for range cap(r.inputs) {
					took += int64(cap(<-r.inputs))
				}
				if took > memory || took < memory/2 {
					t.Errorf("took %d bytes of %d", took, memory)
				}
			})
		})
	}
}
