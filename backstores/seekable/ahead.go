package seekable

import (
	"runtime"
	"sync"
)

// ahead decodes frames before they are read: the other frames of one read, and
// those that follow a run of frames that were read in order. Its goroutines end
// when the queue is empty.
type ahead struct {
	r    *Reader
	most int // frames to decode after a run

	mu      sync.Mutex
	queue   []int32
	workers int
	stopped bool
	wg      sync.WaitGroup
}

// A run is read ahead by this many bytes, or by two frames a core if that is more.
const aheadBytes = 1 << 20

// maxQueue is the length of the queue. Further requests are dropped.
const maxQueue = 64

func (a *ahead) start(r *Reader, slots int) {
	a.r = r
	a.most = max(2*runtime.GOMAXPROCS(0)+2, aheadBytes/int(max(r.index.maxD, 1)))
	a.most = min(a.most, slots/4, maxQueue)
}

// want queues the frames after i up to last. If run frames were read in order it
// queues more, the longer the run.
func (a *ahead) want(i, last, run int) {
	if run > 1 {
		last = max(last, i+min(1<<min(run-1, 10), a.most))
	}
	last = min(last, a.r.index.frames.n-1, i+maxQueue)
	if last <= i {
		return
	}
	var list [maxQueue]int32
	n := 0
	c := a.r.cache
	c.mu.Lock()
	for j := i + 1; j <= last; j++ {
		if c.where[j] == absent {
			list[n] = int32(j)
			n++
		}
	}
	c.mu.Unlock()
	if n == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	a.queue = append(a.queue, list[:min(n, maxQueue-len(a.queue))]...)
	for range min(n, runtime.GOMAXPROCS(0)-a.workers) {
		a.workers++
		a.wg.Go(a.work)
	}
}

func (a *ahead) work() {
	for {
		a.mu.Lock()
		if len(a.queue) == 0 {
			a.workers--
			a.mu.Unlock()
			return
		}
		i := int(a.queue[0])
		a.queue = append(a.queue[:0], a.queue[1:]...)
		a.mu.Unlock()

		c := a.r.cache
		s := int32(absent)
		c.mu.Lock()
		if c.where[i] == absent {
			s = c.claim(i)
		}
		c.mu.Unlock()
		if s == absent {
			continue
		}
		a.r.fill(s, i)
		c.mu.Lock()
		c.drop(s)
		c.mu.Unlock()
	}
}

// stop empties the queue and waits for the goroutines.
func (a *ahead) stop() {
	a.mu.Lock()
	a.stopped, a.queue = true, nil
	a.mu.Unlock()
	a.wg.Wait()
}
