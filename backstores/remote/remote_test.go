package remote

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestStore(t *testing.T) {
	n, _ := startNginx(t, "", 3<<20+777)
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		f, err := Open(t.Context(), n.URL("disk.img"), Options{Memory: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
}

// A cache of the smallest size evicts blocks that others wait for all the time.
func TestManyReadersShareASmallCache(t *testing.T) {
	n, want := startNginx(t, "", 24<<20+5)
	f := openURL(t, n.URL("disk.img"), Options{Memory: 1})
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 4 {
				n := 1 + r.Int64N(3<<20)
				off := r.Int64N(int64(len(want)) - n)
				got := make([]byte, n)
				if _, err := f.ReadAt(got, off); err != nil {
					t.Error(err)
					return
				}
				if string(got) != string(want[off:off+n]) {
					t.Errorf("the %d bytes at %d differ", n, off)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestReadFromEndToEndAsksForLittleTwice(t *testing.T) {
	n, want := startNginx(t, "", 32<<20)
	line := startLine(t, n.Addr, 2*time.Millisecond, 0)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{})
	for off := int64(0); off < int64(len(want)); off += 128 << 10 {
		holds(t, f, want, off, 128<<10)
	}
	if sent := line.Bytes.Load(); sent > int64(len(want))*5/4 {
		t.Errorf("%d bytes were sent for %d", sent, len(want))
	}
	if n := requests(t, n); n > 40 {
		t.Errorf("%d requests", n)
	}
}
