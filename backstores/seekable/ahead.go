package seekable

import (
	"runtime"
	"sync"
)

// Ahead decodes frames before they are asked for: the rest of those of one
// read, and those after a run of frames read one after the other. Its
// goroutines live as long as there is something to do.
type ahead struct {
	r    *Reader
	most int // frames after a run

	mu      sync.Mutex
	queue   []int32
	workers int
	stopped bool
	wg      sync.WaitGroup
}

// A run is read ahead by this much, or twice the cores if that is more.
const aheadBytes = 1 << 20

// longestQueue bounds what is asked for and not begun. More is forgotten.
const longestQueue = 64

func (a *ahead) start(r *Reader, slots int) {
	a.r = r
	a.most = max(2*runtime.GOMAXPROCS(0)+2, aheadBytes/int(max(r.index.maxD, 1)))
	a.most = min(a.most, slots/4, longestQueue)
}

// want asks for the frames after i up to last, and, where run frames were read
// in a row before, for as many more as that promises use.
func (a *ahead) want(i, last, run int) {
	if run > 1 {
		last = max(last, i+min(1<<min(run-1, 10), a.most))
	}
	last = min(last, len(a.r.index.frames)-1, i+longestQueue)
	if last <= i {
		return
	}
	var list [longestQueue]int32
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
	a.queue = append(a.queue, list[:min(n, longestQueue-len(a.queue))]...)
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

// stop returns when nothing is read ahead any more.
func (a *ahead) stop() {
	a.mu.Lock()
	a.stopped, a.queue = true, nil
	a.mu.Unlock()
	a.wg.Wait()
}
