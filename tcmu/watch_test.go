package tcmu

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watched is what a watcher is told.
type watched struct {
	cdb    []byte
	data   [][]byte
	status byte
	n      int
	sense  []byte
	took   time.Duration
}

// watcherFunc makes a Watcher of a function.
type watcherFunc func(watched)

func (f watcherFunc) Watch(cdb []byte, data [][]byte, status byte, n int, sense []byte, took time.Duration) {
	f(watched{cdb, data, status, n, sense, took})
}

func TestWatcherIsToldBeforeTheKernel(t *testing.T) {
	k, d := newKernel(t, 65536)
	told := make(chan struct{})
	d.SetWatcher(watcherFunc(func(w watched) {
		if w.cdb[0] != 0x28 || len(w.data) != 2 || len(w.data[0]) != 512 || len(w.data[1]) != 100 || w.data[1][0] != 7 ||
			w.status != checkCondition || w.n != 612 || len(w.sense) != 3 || w.took <= 0 {
			t.Errorf("told of %+v", w)
		}
		if d.ring.publish() {
			t.Error("the answer could be shown already")
		}
		close(told)
	}))
	serve(t, d, handlerFunc(func(_ []byte, data [][]byte, _ bool) (byte, int, []byte, bool) {
		data[1][0] = 7
		return checkCondition, 612, []byte{0x70, 0, 3}, true
	}))
	k.command(1, []byte{0x28, 9: 0}, [2]uint64{0, 512}, [2]uint64{4096, 100})
	k.show(true)
	<-told
	k.wait(t, 1)
}

// More commands than workers, each of which takes a while.
func TestWatcherIsToldOfTheWaitForAWorker(t *testing.T) {
	const slow, while = maxWorkers + 1, 20 * time.Millisecond
	k, d := newKernel(t, 65536)
	var mu sync.Mutex
	var longest time.Duration
	d.SetWatcher(watcherFunc(func(w watched) {
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, w.took)
	}))
	serve(t, d, handlerFunc(func(_ []byte, _ [][]byte, wait bool) (byte, int, []byte, bool) {
		if wait {
			time.Sleep(while)
		}
		return 0, 0, nil, wait
	}))
	for id := range uint16(slow) {
		k.command(id, []byte{0x35, 9: 0})
	}
	k.show(true)
	k.wait(t, slow)
	mu.Lock()
	defer mu.Unlock()
	if longest < 2*while {
		t.Errorf("the longest of %d commands took %v, want twice %v or more", slow, longest, while)
	}
}

// A watcher hears of all commands that were taken while it watched, and of no
// others, whoever comes and goes meanwhile.
func TestWatchersComeAndGoWhileServing(t *testing.T) {
	const total = 3000
	k, d := newKernel(t, 4096)
	serve(t, d, readWrite(func(n uint32) bool { return n%5 == 0 }))
	var told [3]atomic.Int32
	posted := 0
	post := func(n int) {
		for range n {
			posted++
			k.command(1, []byte{0x28, 0, 0, 0, byte(posted >> 8), byte(posted), 9: 0})
			k.show(true)
			k.wait(t, posted)
		}
	}
	for i := range told {
		d.SetWatcher(watcherFunc(func(watched) { told[i].Add(1) }))
		post(total / len(told))
		d.SetWatcher(nil)
		post(10)
	}
	for i := range told {
		if got := told[i].Load(); got != total/int32(len(told)) {
			t.Errorf("watcher %d was told of %d commands, want %d", i, got, total/len(told))
		}
	}
	// And while commands are on the ring.
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

// The fake kernel may allocate, but no more for a watcher.
func TestWatchingAllocatesNothing(t *testing.T) {
	allocations := func(watch bool) float64 {
		k, d := newKernel(t, 65536)
		var m Meter
		if watch {
			d.SetWatcher(watcherFunc(func(w watched) { m.Add(w.took) }))
		}
		serve(t, d, handlerFunc(func([]byte, [][]byte, bool) (byte, int, []byte, bool) { return 0, 0, nil, true }))
		post := func() {
			k.command(1, []byte{0, 5: 0})
			k.show(true)
			k.order = k.order[:0]
			k.wait(t, 1)
		}
		post()
		n := testing.AllocsPerRun(1000, post)
		if got := m.Read().Count; watch != (got > 1000) {
			t.Errorf("watching is %v: %d commands counted", watch, got)
		}
		return n
	}
	// On a busy machine the fake kernel waits in other ways, which it allocates for.
	for tries := 10; ; tries-- {
		off, on := allocations(false), allocations(true)
		if on <= off {
			return
		}
		if tries == 0 {
			t.Fatalf("%v allocations a command, and %v when nobody watches", on, off)
		}
	}
}
