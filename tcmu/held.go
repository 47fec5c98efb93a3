package tcmu

import (
	"sync"
	"time"
)

// held are the commands that a handler holds back, each with a goroutine that waits
// until it may go.
type held struct {
	waits sync.WaitGroup
	ended chan struct{}

	mu      sync.Mutex
	aborted map[uint16]chan struct{} // by the id of the command; closed when it is aborted
}

func newHeld() *held {
	return &held{ended: make(chan struct{}), aborted: make(map[uint16]chan struct{})}
}

// hold calls release when c is no longer to be held.
func (h *held) hold(c *command, release func()) {
	aborted := make(chan struct{})
	h.mu.Lock()
	h.aborted[c.id] = aborted
	h.mu.Unlock()
	h.waits.Go(func() {
		after := time.NewTimer(c.later.After)
		defer after.Stop()
		select {
		case <-after.C:
		case <-c.later.Release:
		case <-aborted:
		case <-h.ended:
		}
		h.mu.Lock()
		if h.aborted[c.id] == aborted {
			delete(h.aborted, c.id)
		}
		h.mu.Unlock()
		release()
	})
}

// release releases commands that were aborted: the task management function ends
// only when they are completed.
func (h *held) release(ids []uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if aborted := h.aborted[id]; aborted != nil {
			close(aborted)
			delete(h.aborted, id)
		}
	}
}

// end releases all commands, and returns when they are.
func (h *held) end() {
	close(h.ended)
	h.waits.Wait()
}
