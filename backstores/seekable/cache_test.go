package seekable

import (
	"bytes"
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
		const hot = (1 << 20) / frame / 2
		p := make([]byte, frame)
		for range 2 {
			for i := range int64(hot) {
				if _, err := r.ReadAt(p[:512], i*3*frame); err != nil {
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
		for i := range int64(hot) {
			off := i * 3 * frame
			if err := r.ReadVec([][]byte{p[:512]}, off, 512, false); err != nil || !bytes.Equal(p[:512], img[off:off+512]) {
				t.Fatalf("frame %d of %d that are in use: other bytes, or %v", i, hot, err)
			}
		}
	})
}

// Frames of zeros are recognized by their headers. They are never read.
func TestZerosCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const frame = 64 << 10
		r, src := counted(t, make([]byte, 100*frame+1), frame, 1<<20)
		p := bytes.Repeat([]byte{1}, int(r.Size()))
		if _, err := r.ReadAt(p, 0); err != nil || !backstores.IsZero(p) {
			t.Errorf("not zeros, or %v", err)
		}
		p[0] = 1
		if err := r.ReadVec([][]byte{p}, 0, int64(len(p)), false); err != nil || !backstores.IsZero(p) {
			t.Errorf("at once: not zeros, or %v", err)
		}
		synctest.Wait()
		if len(src.reads) > 0 {
			t.Errorf("took the reads %v", src.reads)
		}
	})
}
