package tcmu

import "time"

// A Watcher is told of each command when there is an answer to it, before the
// kernel sees that. It is called by several goroutines at once, and the ring
// waits for it.
type Watcher interface {
	// Watch is given a command as Handler.Execute was, and what came of it. took
	// is how long it was with this program: from the ring to its answer, the
	// wait for a worker included. Neither cdb nor data nor sense may be used
	// after Watch returns.
	Watch(cdb []byte, data [][]byte, status byte, n int, sense []byte, took time.Duration)
}

// SetWatcher makes w the one to be told of the commands that are taken from the
// ring from now on; nil is nobody. Those that were taken before are the
// business of the watcher of that time, which may hear of them yet. It may be
// called at any time, also while the device is served.
func (d *Device) SetWatcher(w Watcher) {
	if w == nil {
		d.watcher.Store(nil)
		return
	}
	d.watcher.Store(&w)
}
