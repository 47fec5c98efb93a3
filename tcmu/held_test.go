package tcmu

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// A holder is a handler that holds back commands with the opcode 35h. They execute
// otherwise, and record their ids, which are in the CDB.
type holder struct {
	after    time.Duration
	release  chan struct{}
	executed chan byte
	judged   atomic.Int32
}

func newHolder(after time.Duration) *holder {
	return &holder{after: after, release: make(chan struct{}), executed: make(chan byte, 1000)}
}

func (h *holder) Execute(cdb []byte, _ [][]byte, wait bool) (Result, error) {
	if cdb[0] != 0x35 {
		return Result{}, nil
	}
	h.judged.Add(1)
	return Result{}, &Later{After: h.after, Release: h.release, Execute: func() Result {
		h.executed <- cdb[1]
		return Result{Status: 8}
	}}
}

func syncCache(id byte) []byte { return []byte{0x35, id, 9: 0} }

// More commands are held than there are workers, for ever. They delay no other, and
// each is judged once.
func TestHeldCommandsDelayNoOthers(t *testing.T) {
	k, d := newKernel(t, 65536)
	h := newHolder(time.Hour)
	stop := serve(t, d, h)
	const n = 2*maxWorkers + 1
	for id := range byte(n) {
		k.command(uint16(id)+1, syncCache(id))
	}
	k.command(1000, []byte{0, 5: 0})
	k.post(true)
	k.wait(t, 1)
	if k.order[0] != 1000 || len(h.executed) > 0 {
		t.Errorf("command %d is completed first, %d held ones are executed", k.order[0], len(h.executed))
	}
	if err := stop(); err != nil { // releases them
		t.Error(err)
	}
	k.wait(t, n+1)
	if len(h.executed) != n || h.judged.Load() != n {
		t.Errorf("%d executed of %d, which were judged %d times", len(h.executed), n, h.judged.Load())
	}
	if c := k.done[5]; c.status != 8 {
		t.Errorf("the status of a held command is %#x", c.status)
	}
}

// The kernel does not complete a task management function before the commands that
// it aborts. Those of other initiators stay.
func TestHeldCommandsGoWhenTheyAreAborted(t *testing.T) {
	for name, typ := range map[string]byte{"abort task": 1, "logical unit reset": lunReset} {
		t.Run(name, func(t *testing.T) {
			k, d := newKernel(t, 65536)
			h := newHolder(time.Hour)
			stop := serve(t, d, h)
			for id := range byte(4) {
				k.command(uint16(id), syncCache(id))
			}
			k.taskManagement(typ, 1, 3, 77)
			k.post(true)
			k.wait(t, 2)
			slices.Sort(k.order)
			if !slices.Equal(k.order, []uint16{1, 3}) {
				t.Errorf("completed are %v", k.order)
			}
			// The ids are free, and may be held and aborted again.
			k.command(3, syncCache(3))
			k.aborted(3)
			k.post(true)
			k.wait(t, 3)
			if err := stop(); err != nil {
				t.Error(err)
			}
			k.wait(t, 5)
		})
	}
}

func TestHeldCommandsGoWhenTheirTimeIsOver(t *testing.T) {
	k, d := newKernel(t, 65536)
	h := newHolder(20 * time.Millisecond)
	serve(t, d, h)
	start := time.Now()
	k.command(1, syncCache(1))
	k.post(true)
	k.wait(t, 1)
	if took := time.Since(start); took < h.after {
		t.Errorf("completed after %v", took)
	}
}

func TestHeldCommandsGoWhenTheHandlerReleasesThem(t *testing.T) {
	k, d := newKernel(t, 65536)
	h := newHolder(time.Hour)
	serve(t, d, h)
	k.command(1, syncCache(1))
	k.command(2, syncCache(2))
	k.post(true)
	close(h.release)
	k.wait(t, 2)
	// What was said of them is not said of those that come after them.
	for id := range uint16(10) {
		k.command(100+id, []byte{0, 5: 0})
		k.post(true)
		k.wait(t, 3+int(id))
		if c := k.done[100+id]; c.status != 0 {
			t.Errorf("command %d has the status %#x", id, c.status)
		}
	}
}
