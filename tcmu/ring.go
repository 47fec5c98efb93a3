package tcmu

import (
	"encoding/binary"
	"fmt"
	"sync"
	"unsafe"
)

// A ring is the command ring of one device.
//
// One goroutine takes entries, in order. Any goroutine completes commands, in
// any order: a response has the id of its command and overwrites the oldest
// entry that has no response yet, whichever command was posted there. So take
// copies what it needs of an entry, and the offsets of the entries are kept
// here rather than read from the ring again.
type ring struct {
	mem  []byte // the whole mapping
	mb   *mailbox
	base uint64 // cmdr_off, as checked by newRing
	size uint32 // cmdr_size, as checked by newRing

	mu    sync.Mutex
	next  uint32   // the first entry not yet taken, in [0, size)
	tail  uint32   // the first entry not yet completed, in [0, size)
	slots []uint32 // a circular buffer: offsets of the commands taken and not completed
	first uint32   // index of the oldest slot
	count uint32   // number of slots in use

	// Set by take for the task management entries before the command.
	taskManagement bool     // there were any
	reset          bool     // one of them was a LUN reset
	aborted        []uint16 // the ids of the commands that they aborted
}

// newRing checks the mailbox at the start of mem. Taking starts at the tail, with
// the commands that an earlier owner of the ring did not complete.
func newRing(mem []byte) (*ring, error) {
	mb := at[mailbox](mem, 0)
	if mb == nil {
		return nil, fmt.Errorf("mapping of %d bytes has no room for a mailbox", len(mem))
	}
	r := &ring{mem: mem, mb: mb, base: uint64(mb.cmdrOff), size: mb.cmdrSize, slots: make([]uint32, maxOutstanding)}
	r.next = mb.tail.Load()
	r.tail = r.next
	switch {
	case mb.version != mailboxVersion:
		return nil, fmt.Errorf("mailbox version %d, want %d", mb.version, mailboxVersion)
	case mb.flags&flagOutOfOrder == 0:
		return nil, fmt.Errorf("the kernel does not support out of order completion; it is too old")
	case r.base%entryAlign != 0 || r.size%entryAlign != 0 || r.size == 0 || r.base+uint64(r.size) > uint64(len(mem)):
		return nil, fmt.Errorf("ring of %d bytes at %#x does not fit a mapping of %d", r.size, r.base, len(mem))
	case r.tail >= r.size || r.tail%entryAlign != 0:
		return nil, fmt.Errorf("ring tail %#x is outside the ring", r.tail)
	}
	return r, nil
}

// take reads the next command into c, and returns false if there is none. It
// skips entries of other operations, and returns malformed commands to the
// kernel as unknown. After an error the ring is unusable.
func (r *ring) take(c *command) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taskManagement, r.reset, r.aborted = false, false, r.aborted[:0]
	for {
		head := r.mb.head.Load()
		if head == r.next {
			return false, nil
		}
		if head >= r.size {
			return false, fmt.Errorf("ring head %#x is outside the ring of %#x bytes", head, r.size)
		}
		posted := head - r.next // bytes between them, modulo the size
		if head < r.next {
			posted += r.size
		}
		off := r.next
		h := at[header](r.mem, r.base+uint64(off))
		n := h.len()
		if n == 0 || n > posted || n > r.size-off {
			return false, fmt.Errorf("ring entry at %#x has a length of %d, with %d bytes posted", off, n, posted)
		}
		r.next = (off + n) % r.size

		switch h.op() {
		case opCommand:
			if r.read(c, off, n) {
				if r.count == uint32(len(r.slots)) {
					return false, fmt.Errorf("more than %d commands on the ring", len(r.slots))
				}
				r.slots[(r.first+r.count)%uint32(len(r.slots))] = off
				r.count++
				return true, nil
			}
			h.uflags |= flagUnknownOp
		case opTaskManagement:
			r.readTaskManagement(r.mem[:r.base+uint64(off)+uint64(n)], r.base+uint64(off))
		case opPad:
		default:
			h.uflags |= flagUnknownOp
		}
		r.advanceTail()
	}
}

// read copies the command in the entry of n bytes at off, and reports whether it
// is well formed. Its data buffers are slices of the data area.
func (r *ring) read(c *command, off, n uint32) bool {
	entry := r.mem[:r.base+uint64(off)+uint64(n)]
	start := r.base + uint64(off)
	if at[response](entry, start) == nil {
		return false // the response would overwrite the next entry
	}
	req := at[request](entry, start)
	const fixed = 48
	iovs := uint64(req.iovCount)
	if iovs > (uint64(n)-fixed)/16 {
		return false
	}
	if req.cdbOff < start+fixed+16*iovs || req.cdbOff >= uint64(len(entry)) {
		return false
	}
	c.id = req.id
	c.cdb = c.room[:copy(c.room[:], entry[req.cdbOff:])]
	c.data = c.data[:0]
	dataOff := r.base + uint64(r.size)
	for i := range iovs {
		v := at[iovec](entry, start+fixed+16*i)
		base, n := v.base, v.len
		if base < dataOff || base > uint64(len(r.mem)) || n > uint64(len(r.mem))-base {
			return false
		}
		if n > 0 {
			c.data = append(c.data, r.mem[base:base+n:base+n])
		}
	}
	return true
}

// readTaskManagement takes note of the task management entry at start, which ends
// with entry.
func (r *ring) readTaskManagement(entry []byte, start uint64) {
	r.taskManagement = true
	t := at[taskManagement](entry, start)
	if t == nil {
		return
	}
	r.reset = r.reset || t.typ == lunReset
	ids := entry[start+uint64(unsafe.Sizeof(*t)):]
	for ids = ids[:min(uint64(len(ids)), 2*uint64(t.count))]; len(ids) >= 2; ids = ids[2:] {
		r.aborted = append(r.aborted, binary.NativeEndian.Uint16(ids))
	}
}

// advanceTail moves the tail to the oldest command not completed, past entries
// that are not commands.
func (r *ring) advanceTail() {
	if r.count == 0 {
		r.tail = r.next
	} else {
		r.tail = r.slots[r.first]
	}
}

// complete writes the response to the command with an id that take returned.
// Call it once for each; the kernel sees the response after publish.
func (r *ring) complete(id uint16, result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rsp := at[response](r.mem, r.base+uint64(r.slots[r.first]))
	r.first = (r.first + 1) % uint32(len(r.slots))
	r.count--

	rsp.id = id
	rsp.uflags = 0
	rsp.status = result.Status
	rsp.readLen = 0
	if result.DataIn != WholeBuffer {
		rsp.uflags = flagReadLen
		rsp.readLen = uint32(result.DataIn)
	}
	if result.Status == checkCondition {
		clear(rsp.sense[copy(rsp.sense[:], result.Sense):])
	}
	r.advanceTail()
}

// publish makes all responses visible to the kernel, and reports whether any are
// new; if so, kick it.
func (r *ring) publish() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mb.tail.Load() == r.tail {
		return false
	}
	r.mb.tail.Store(r.tail)
	return true
}
