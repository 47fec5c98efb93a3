package remote

import (
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
			holds(t, f, want, off, 1<<20)
			if !back.Load() {
				t.Error("read from a server that is stopped")
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		holds(t, f, want, 4<<20, 1<<20)
	}()
	time.Sleep(time.Second)
	line.Stall(false)
	<-done
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
	const size = 256 << 20
	n, _ := startNginx(t, "", 4096)
	makeSparse(t, n.Path("disk.img"), size)
	line := startLine(t, n.Addr, 20*time.Millisecond, 50<<20)
	f := openURL(t, "http://"+line.Addr()+"/disk.img", Options{})
	f.ReadAt(make([]byte, 1<<20), 0)
	before := line.Bytes.Load()
	const readers, each = 16, 24
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(i)))
			for range each {
				if _, err := f.ReadAt(make([]byte, 4096), r.Int64N(size/4096)*4096); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// 4 KiB in blocks of 16 KiB, and a few larger requests while few wait.
	if sent := line.Bytes.Load() - before; sent > readers*each*(blockBytes+24<<10) {
		t.Errorf("%d bytes were sent for %d", sent, readers*each*4096)
	}
}
