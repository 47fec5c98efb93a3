package tcmu

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watched holds the arguments of Watch.
type watched struct {
	cdb  []byte
	data [][]byte
	Result
	took time.Duration
}

// watcherFunc adapts a function to Watcher.
type watcherFunc func(watched)

func (f watcherFunc) Watch(cdb []byte, data [][]byte, r Result, took time.Duration) {
	f(watched{cdb, data, r, took})
}

func TestWatcherSeesCommandBeforeKernelDoes(t *testing.T) {
	k, d := newKernel(t, 65536)
	seen := make(chan struct{})
	d.SetWatcher(watcherFunc(func(w watched) {
		if w.cdb[0] != 0x28 || len(w.data) != 2 || len(w.data[0]) != 512 || len(w.data[1]) != 100 || w.data[1][0] != 7 ||
			w.Status != checkCondition || w.DataIn != 612 || len(w.Sense) != 3 || w.took <= 0 {
			t.Errorf("watched %+v", w)
		}
		if d.ring.publish() {
			t.Error("the completion was already written to the ring")
		}
		close(seen)
	}))
	serve(t, d, handlerFunc(func(_ []byte, data [][]byte, _ bool) (Result, error) {
		data[1][0] = 7
		return Result{checkCondition, 612, []byte{0x70, 0, 3}}, nil
	}))
	k.command(1, []byte{0x28, 9: 0}, [2]uint64{0, 512}, [2]uint64{4096, 100})
	k.post(true)
	<-seen
	k.wait(t, 1)
}

func TestLatencyIncludesWaitForWorker(t *testing.T) {
	const slow, delay = maxWorkers + 1, 20 * time.Millisecond // one command has to wait
	k, d := newKernel(t, 65536)
	var mu sync.Mutex
	var longest time.Duration
	d.SetWatcher(watcherFunc(func(w watched) {
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, w.took)
	}))
	serve(t, d, handlerFunc(func(_ []byte, _ [][]byte, wait bool) (Result, error) {
		if !wait {
			return Result{}, ErrWouldBlock
		}
		time.Sleep(delay)
		return Result{}, nil
	}))
	for id := range uint16(slow) {
		k.command(id, []byte{0x35, 9: 0})
	}
	k.post(true)
	k.wait(t, slow)
	mu.Lock()
	defer mu.Unlock()
	if longest < 2*delay {
		t.Errorf("the longest of %d commands took %v, want at least twice %v", slow, longest, delay)
	}
}

// A watcher sees exactly the commands taken while it was set.
func TestWatcherCanChangeWhileServing(t *testing.T) {
	const total = 3000
	k, d := newKernel(t, 4096)
	serve(t, d, readWrite(func(n uint32) bool { return n%5 == 0 }))
	var seen [3]atomic.Int32
	posted := 0
	post := func(n int) {
		for range n {
			posted++
			k.command(1, []byte{0x28, 0, 0, 0, byte(posted >> 8), byte(posted), 9: 0})
			k.post(true)
			k.wait(t, posted)
		}
	}
	for i := range seen {
		d.SetWatcher(watcherFunc(func(watched) { seen[i].Add(1) }))
		post(total / len(seen))
		d.SetWatcher(nil)
		post(10)
	}
	for i := range seen {
		if got := seen[i].Load(); got != total/int32(len(seen)) {
			t.Errorf("watcher %d saw %d commands, want %d", i, got, total/len(seen))
		}
	}
	// Also change it while commands are on the ring.
	var done atomic.Bool
	var changing sync.WaitGroup
	changing.Go(func() {
		for w := Watcher(watcherFunc(func(watched) {})); !done.Load(); {
			d.SetWatcher(w)
			d.SetWatcher(nil)
		}
	})
	post(total)
	done.Store(true)
	changing.Wait()
}

// The fake kernel may allocate, but a watcher must not add to that.
func TestWatcherAllocatesNothing(t *testing.T) {
	allocations := func(watch bool) float64 {
		k, d := newKernel(t, 65536)
		var m Meter
		if watch {
			d.SetWatcher(watcherFunc(func(w watched) { m.Add(w.took) }))
		}
		serve(t, d, handlerFunc(func([]byte, [][]byte, bool) (Result, error) { return Result{}, nil }))
		post := func() {
			k.command(1, []byte{0, 5: 0})
			k.post(true)
			k.order = k.order[:0]
			k.wait(t, 1)
		}
		post()
		n := testing.AllocsPerRun(1000, post)
		if got := m.Read().Count; watch != (got > 1000) {
			t.Errorf("with watcher %v: %d commands counted", watch, got)
		}
		return n
	}
	// On a busy machine the fake kernel may allocate more, so try again.
	for tries := 10; ; tries-- {
		off, on := allocations(false), allocations(true)
		if on <= off {
			return
		}
		if tries == 0 {
			t.Fatalf("%v allocations per command with a watcher, %v without", on, off)
		}
	}
}
