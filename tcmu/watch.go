package tcmu

import "time"

// A Watcher observes commands. It must be safe for concurrent use, and should
// be fast: the ring waits for it.
type Watcher interface {
	// Watch is called with each command and its result before the kernel sees
	// the completion. took is the time since the command was taken from the
	// ring, including the wait for a worker. Watch must not retain cdb, data or
	// r.Sense.
	Watch(cdb []byte, data [][]byte, r Result, took time.Duration)
}

// SetWatcher makes w the watcher of all commands taken from the ring from now
// on, or removes the watcher if w is nil. The previous watcher is still called
// for commands taken before. SetWatcher may be called at any time, even while
// the device is being served.
func (d *Device) SetWatcher(w Watcher) {
	if w == nil {
		d.watcher.Store(nil)
		return
	}
	d.watcher.Store(&w)
}
