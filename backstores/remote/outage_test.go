package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serveDisk starts a server of zeros. handle may answer a request in place of it.
func serveDisk(t *testing.T, size int, handle func(w http.ResponseWriter, first, n int) bool) (url string) {
	t.Helper()
	disk := make([]byte, size)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var first, last int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
		w.Header().Set("ETag", `"1"`)
		if !handle(w, first, last-first+1) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(disk))
		}
	}))
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s.URL
}

// fails reads a block, and returns how long that took and its error.
func fails(t *testing.T, f *File, off int64) (time.Duration, error) {
	t.Helper()
	start := time.Now()
	_, err := f.ReadAt(make([]byte, 4096), off)
	if err == nil {
		t.Fatalf("the %d bytes at %d are read", 4096, off)
	}
	return time.Since(start), err
}

// One range that always fails is given up, although other reads succeed all the
// time, and those are not disturbed.
func TestRangeThatAlwaysFailsIsGivenUp(t *testing.T) {
	const size, bad = 16 << 20, 8 << 20
	for name, answer := range map[string]func(w http.ResponseWriter, first int){
		"500": func(w http.ResponseWriter, _ int) { http.Error(w, "", http.StatusInternalServerError) },
		"a cut body": func(w http.ResponseWriter, first int) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+blockBytes-1, size))
			w.Header().Set("Content-Length", fmt.Sprint(blockBytes))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(make([]byte, 100))
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := serveDisk(t, size, func(w http.ResponseWriter, first, n int) bool {
				if first < bad || first >= bad+blockBytes {
					return false
				}
				answer(w, first)
				return true
			})
			f := openURL(t, url, Options{Memory: 1})
			f.outage.patience = 300 * time.Millisecond
			var wg sync.WaitGroup
			var stop atomic.Bool
			wg.Go(func() {
				for off := int64(0); !stop.Load(); off = (off + 3<<20) % bad {
					if _, err := f.ReadAt(make([]byte, 4096), off); err != nil {
						t.Error(err)
						return
					}
				}
			})
			done := make(chan error)
			go func() {
				_, err := f.ReadAt(make([]byte, 4096), bad)
				done <- err
			}()
			select {
			case err := <-done:
				if err == nil {
					t.Error("is read")
				}
			case <-time.After(20 * time.Second):
				t.Error("the read still waits")
				f.Cancel()
				<-done
			}
			stop.Store(true)
			wg.Wait()
		})
	}
}

// A server that sends a byte now and then stalls, whatever the bytes are of.
func TestServerThatDripsIsGivenUp(t *testing.T) {
	drip := func(w io.Writer) bool {
		for range 300 {
			if _, err := w.Write([]byte{0}); err != nil {
				break
			}
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond)
		}
		return true
	}
	for name, answer := range map[string]func(w http.ResponseWriter, first, n int) bool{
		"image": func(w http.ResponseWriter, first, n int) bool {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+blockBytes-1, small))
			w.WriteHeader(http.StatusPartialContent)
			return drip(w)
		},
		"redirect": func(w http.ResponseWriter, _, _ int) bool {
			w.Header().Set("Location", "/other")
			w.WriteHeader(http.StatusFound)
			return drip(w)
		},
		"error": func(w http.ResponseWriter, _, _ int) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return drip(w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var begun atomic.Bool
			url := serveDisk(t, small, func(w http.ResponseWriter, first, n int) bool {
				return begun.Load() && answer(w, first, n)
			})
			f := openURL(t, url, Options{Little: true})
			begun.Store(true)
			f.client.stall, f.outage.patience = 500*time.Millisecond, time.Second
			if took, err := fails(t, f, small-4096); took > 15*time.Second {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

// A read ends although its bytes come, slowly, and those queued behind it end soon.
func TestSlowReadsEnd(t *testing.T) {
	var begun atomic.Bool
	url := serveDisk(t, 4<<20, func(w http.ResponseWriter, first, n int) bool {
		if !begun.Load() {
			return false
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+n-1, 4<<20))
		w.WriteHeader(http.StatusPartialContent)
		for range n / blockBytes {
			if _, err := w.Write(make([]byte, blockBytes)); err != nil {
				break
			}
			w.(http.Flusher).Flush()
			time.Sleep(200 * time.Millisecond)
		}
		return true
	})
	f := openURL(t, url, Options{Memory: 1, Little: true})
	f.outage.readTime = 800 * time.Millisecond
	begun.Store(true)
	for i, most := range []time.Duration{5 * time.Second, 700 * time.Millisecond} {
		start := time.Now()
		_, err := f.ReadAt(make([]byte, 1<<20), int64(i+1)<<20)
		if took := time.Since(start); !errors.Is(err, errSlow) || took > most {
			t.Errorf("read %d: %v after %v", i, err, took)
		}
	}
}

// A read does not wait for a server that is gone once the image is to be closed, and
// does for one that answers slowly.
func TestHurryEndsReadsThatWait(t *testing.T) {
	t.Parallel()
	n, want := startNginx(t, "", 8<<20)
	line := startLine(t, n.Addr, 0, 0)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{Little: true})
	f.Hurry()
	time.Sleep(hurryTime + time.Second) // nothing waits
	holds(t, f, want, 2<<20, 4096)
	line.Stall(true)
	if took, err := fails(t, f, 6<<20); took > 20*time.Second || !errors.Is(err, errClosing) {
		t.Errorf("%v after %v", err, took)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// When a server is given up, one request finds out whether it is back. The reads that
// are queued for the others do not wait in turn.
func TestQueuedReadsFailTogether(t *testing.T) {
	n, want := startNginx(t, "", 64<<20)
	line := startLine(t, n.Addr, 0, 0)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{Memory: 64 << 20, Little: true})
	holds(t, f, want, 0, 4096)
	f.client.stall, f.outage.patience = time.Second, 2*time.Second
	line.Stall(true)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range 160 {
		wg.Go(func() {
			if _, err := f.ReadAt(make([]byte, 4096), 2<<20+int64(i)*(256<<10)); err == nil {
				t.Error("is read")
			}
		})
	}
	wg.Wait()
	// In turn they take 10 s, and more when they are repeated.
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("the reads took %v", took)
	}
	before := line.Conns.Load()
	for range 32 {
		wg.Go(func() { f.ReadAt(make([]byte, 4096), 2<<20+time.Now().UnixNano()%200*(256<<10)) })
	}
	wg.Wait()
	if probes := line.Conns.Load() - before; probes > 4 {
		t.Errorf("%d connections probe", probes)
	}
	line.Stall(false)
	time.Sleep(10 * time.Millisecond)
	for try := 0; ; try++ { // a connection that was stalled is lost
		if _, err := f.ReadAt(make([]byte, 4096), 50<<20); err == nil {
			break
		} else if try == 5 {
			t.Fatal(err)
		}
	}
}
