package main

import (
	"sync"
	"time"

	"github.com/lunserve/lunserve/tcmu"
)

// A watch looks at the commands for a disk, as long as anybody wants to know of
// them.
type watch struct {
	ring  *tcmu.Device
	meter tcmu.Meter
	trace func(cdb []byte, data [][]byte, status byte, sense []byte, took time.Duration) // or nil

	mu     sync.Mutex
	timers int // who wants commands timed
}

// want says that n more want commands timed, or that -n do no longer.
func (w *watch) want(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timers += n
	if w.timers > 0 || w.trace != nil {
		w.ring.SetWatcher(w)
	} else {
		w.ring.SetWatcher(nil)
	}
}

// Watch is that of [tcmu.Watcher].
func (w *watch) Watch(cdb []byte, data [][]byte, r tcmu.Result, took time.Duration) {
	w.meter.Add(took)
	if w.trace != nil {
		w.trace(cdb, data, r.Status, r.Sense, took)
	}
}
