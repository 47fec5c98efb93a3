package decoded

import (
	"runtime"
	"sync"
)

// ahead decodes parts before they are read: the other parts of one read, and
// those that follow a run of parts that were read in order. Its goroutines end
// when the queue is empty.
type ahead struct {
	c    *Cache
	most int64 // parts to decode after a run

	mu      sync.Mutex
	queue   []int64
	workers int
	stopped bool
	wg      sync.WaitGroup
}

// A run is decoded ahead by this many bytes, or by two parts a core if that is
// more.
const aheadBytes = 1 << 20

// maxQueue is the length of the queue. Further requests are dropped.
const maxQueue = 64

func (a *ahead) start(c *Cache) {
	a.c = c
	a.most = max(2*int64(runtime.GOMAXPROCS(0))+2, aheadBytes/max(c.size, 1))
	a.most = min(a.most, int64(len(c.slots))/4, maxQueue)
}

// want queues the parts after i up to last. If run parts were read in order it
// queues more, the longer the run.
func (a *ahead) want(i, last, run int64) {
	if run > 1 {
		last = max(last, i+min(1<<min(run-1, 10), a.most))
	}
	last = min(last, i+maxQueue)
	if last <= i {
		return
	}
	var list [maxQueue]int64
	n := 0
	c := a.c
	c.mu.Lock()
	for j := i + 1; j <= last; j++ {
		if _, ok := c.where[j]; !ok && c.src.Encoded(j) {
			list[n] = j
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
		i := a.queue[0]
		a.queue = append(a.queue[:0], a.queue[1:]...)
		a.mu.Unlock()

		c := a.c
		s := int32(absent)
		c.mu.Lock()
		if _, ok := c.where[i]; !ok {
			s = c.claim(i)
		}
		c.mu.Unlock()
		if s == absent {
			continue
		}
		c.fill(s, i)
		c.Done(s)
	}
}

// stop empties the queue and waits for the goroutines.
func (a *ahead) stop() {
	a.mu.Lock()
	a.stopped, a.queue = true, nil
	a.mu.Unlock()
	a.wg.Wait()
}
