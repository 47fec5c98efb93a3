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

// One command more than there are workers waits for one of them. Its handler takes no time, so its latency is the wait.
func TestLatencyIncludesWaitForWorker(t *testing.T) {
	const slow, delay = maxWorkers + 1, 20 * time.Millisecond
	k, d := newKernel(t, 65536)
	var took [slow]atomic.Int64 // nanoseconds
	d.SetWatcher(watcherFunc(func(w watched) { took[w.cdb[1]].Store(int64(w.took)) }))
	var tried, taken, waited atomic.Int32
	allTried, release := make(chan struct{}), make(chan struct{})
	serve(t, d, handlerFunc(func(cdb []byte, _ [][]byte, wait bool) (Result, error) {
		switch {
		case !wait:
			if tried.Add(1) == slow {
				close(allTried)
			}
			return Result{}, ErrWouldBlock
		case taken.Add(1) <= maxWorkers:
			<-release
		default:
			waited.Store(int32(cdb[1]))
		}
		return Result{}, nil
	}))
	for id := range uint16(slow) {
		k.command(id, []byte{0x35, byte(id), 9: 0})
	}
	k.post(true)
	<-allTried
	time.Sleep(delay)
	close(release)
	k.wait(t, slow)
	id := waited.Load()
	if got := time.Duration(took[id].Load()); got < delay {
		t.Errorf("command %d waited at least %v for a worker, and its latency is %v", id, delay, got)
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
