package remote

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCutConnectionsAreMadeAgain(t *testing.T) {
	n, want := startNginx(t, "", 16<<20)
	line := startLine(t, n.Addr, time.Millisecond, 0)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{})
	for off := int64(0); off < 16<<20; off += 1 << 20 {
		line.CutAfter(1 + rand.Int64N(500<<10))
		holds(t, f, want, off, 1<<20)
	}
}

func TestServerThatComesBackIsWaitedFor(t *testing.T) {
	n, want := startNginx(t, "", 8<<20)
	f := openURL(t, n.URL("disk.img"), Options{})
	holds(t, f, want, 0, 1<<20)
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	var back atomic.Bool
	var wg sync.WaitGroup
	for off := int64(2 << 20); off < 8<<20; off += 1 << 20 {
		wg.Go(func() {
			got := make([]byte, 1<<20)
			_, err := f.ReadAt(got, off)
			switch {
			case err != nil:
				t.Error(err)
			case !back.Load():
				t.Error("read from a server that is stopped")
			case !bytes.Equal(got, want[off:off+1<<20]):
				t.Errorf("the bytes at %d differ", off)
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	back.Store(true)
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}

// All that wait when a server is given up fail, and later reads do not wait.
func TestServerThatIsGoneIsGivenUp(t *testing.T) {
	n, want := startNginx(t, "", 8<<20)
	f := openURL(t, n.URL("disk.img"), Options{})
	holds(t, f, want, 0, 1<<20)
	n.Stop()
	f.outage.mu.Lock()
	f.outage.since, f.outage.err = time.Now().Add(-patience), transportError{errCut}
	f.outage.mu.Unlock()
	start := time.Now()
	_, err := f.ReadAt(make([]byte, 4096), 6<<20)
	wantError(t, err, "connection refused")
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("the read took %v", d)
	}
	holds(t, f, want, 0, 1<<20) // from memory
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	holds(t, f, want, 6<<20, 1<<20)
	f.wg.Wait() // a request ends after its bytes can be read
	f.outage.mu.Lock()
	defer f.outage.mu.Unlock()
	if !f.outage.since.IsZero() {
		t.Error("the outage has not ended")
	}
}

func TestStalledConnectionIsReplaced(t *testing.T) {
	n, want := startNginx(t, "", 8<<20)
	line := startLine(t, n.Addr, 0, 0)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{})
	holds(t, f, want, 0, 1<<20)
	f.client.stall = 200 * time.Millisecond
	before := line.Conns.Load()
	line.Stall(true)
	got, done := make([]byte, 1<<20), make(chan error)
	go func() {
		_, err := f.ReadAt(got, 4<<20)
		done <- err
	}()
	time.Sleep(time.Second)
	line.Stall(false)
	if err := <-done; err != nil || !bytes.Equal(got, want[4<<20:5<<20]) {
		t.Errorf("read with the error %v", err)
	}
	if line.Conns.Load() == before {
		t.Error("no new connection was made")
	}
}

// A close ends reads that wait for a server.
func TestCloseEndsWhatWaits(t *testing.T) {
	n, _ := startNginx(t, "", 8<<20)
	line := startLine(t, n.Addr, 0, 0)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{})
	line.Stall(true)
	failed := make(chan error)
	go func() {
		_, err := f.ReadAt(make([]byte, 1<<20), 4<<20)
		failed <- err
	}()
	time.Sleep(50 * time.Millisecond)
	f.cancel()
	select {
	case err := <-failed:
		wantError(t, err, "given up, since the image is being closed")
	case <-time.After(20 * time.Second):
		t.Fatal("the read still waits")
	}
}

// What is beyond a read does not take the line from other reads: at 20 ms and 50
// MB/s, 16 readers of 4 KiB get as much as by requests of their own.
func TestRandomReadsAreNotWasteful(t *testing.T) {
	for _, tt := range []struct{ demands, most int64 }{{0, minRequest}, {1, minRequest / 2}, {15, blockBytes}, {255, blockBytes}} {
		n, _ := startNginx(t, "", 4096)
		makeSparse(t, n.Path("disk.img"), 64<<20)
		line := startLine(t, n.Addr, 0, 0)
		f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{})
		if _, err := f.ReadAt(make([]byte, maxProbe), 0); err != nil {
			t.Fatal(err)
		}
		before := line.Bytes.Load()
		f.cache.mu.Lock()
		f.demands = int(tt.demands) // that many others wait
		f.cache.mu.Unlock()
		const reads = 8
		for i := range int64(reads) {
			if _, err := f.ReadAt(make([]byte, 4096), (i+1)*7<<20); err != nil {
				t.Fatal(err)
			}
		}
		f.wg.Wait()
		if sent := line.Bytes.Load() - before; sent > reads*(tt.most+1<<10) || sent < reads*tt.most {
			t.Errorf("%d others wait: %d bytes were sent for %d reads of 4 KiB", tt.demands, sent, reads)
		}
	}
}

// However many runs there are, half of the requests are left to reads that wait.
func TestReadAheadLeavesRequestsToOthers(t *testing.T) {
	n, _ := startNginx(t, "", 4096)
	makeSparse(t, n.Path("disk.img"), 64<<20)
	line := startLine(t, n.Addr, 0, 0)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{Memory: 128 << 20})
	f.wg.Wait()
	line.Stall(true)
	f.cache.mu.Lock()
	claimed := 0
	for at := int64(4 << 20); at < 64<<20; at += 4 << 20 {
		f.readAhead(&run{next: at, n: 4 << 20, ahead: at})
	}
	for i := range f.cache.slots {
		if f.cache.slots[i].ready != nil {
			claimed++
		}
	}
	f.cache.mu.Unlock()
	line.Stall(false)
	if most := maxAhead * maxRequest / blockBytes; claimed > most {
		t.Errorf("%d blocks are claimed, want at most %d", claimed, most)
	}
}
