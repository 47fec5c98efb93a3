package serve

import (
	"sync"
	"time"

	"github.com/lunserve/lunserve/tcmu"
)

// A watch observes the commands of a disk while a measurement or a trace needs
// it. Otherwise the ring does not even read the clock.
type watch struct {
	meter tcmu.Meter
	trace func(cdb []byte, data [][]byte, status byte, sense []byte, took time.Duration) // nil: no trace

	mu      sync.Mutex
	of      interface{ SetWatcher(tcmu.Watcher) }
	readers int // measurements
}

// attach sets whose commands are observed: the ring's, or a [slot]'s. A trace observes
// them from the start.
func (w *watch) attach(of interface{ SetWatcher(tcmu.Watcher) }) {
	w.of = of
	w.want(0)
}

// want adds n measurements, or removes -n.
func (w *watch) want(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readers += n
	if w.readers > 0 || w.trace != nil {
		w.of.SetWatcher(w)
	} else {
		w.of.SetWatcher(nil)
	}
}

// Watch implements [tcmu.Watcher].
func (w *watch) Watch(cdb []byte, data [][]byte, r tcmu.Result, took time.Duration) {
	w.meter.Add(took)
	if w.trace != nil {
		w.trace(cdb, data, r.Status, r.Sense, took)
	}
}
