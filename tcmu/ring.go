package tcmu

import (
	"fmt"
	"sync"
)

// A ring is the command ring of one device.
//
// Entries are taken in order, by one goroutine. They are answered in any
// order, by any goroutine: an answer names its command by id and goes into the
// oldest slot that has none yet, whichever command was posted there. That is
// why take copies what it wants out of an entry, and why the offsets of the
// slots are remembered here rather than read from the ring again.
type ring struct {
	mem  []byte // the whole mapping
	mb   *mailbox
	base uint64 // cmdr_off and cmdr_size, as they were when checked
	size uint32

	mu    sync.Mutex
	next  uint32   // the first entry not yet taken, in [0, size)
	tail  uint32   // the first entry not yet answered, in [0, size)
	slots []uint32 // a circle: offsets of the commands taken and not answered
	first uint32   // index of the oldest of them, modulo len(slots)
	count uint32   // how many there are

	// What the task management entries passed over by the last take tell.
	managed bool // there are any
	reset   bool // of the whole unit
}

// newRing checks the mailbox at the start of mem. Commands that an earlier
// owner of the ring left unanswered are taken again, from the tail.
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
		return nil, fmt.Errorf("this kernel wants answers in order; it is too old")
	case r.base%entryAlign != 0 || r.size%entryAlign != 0 || r.size == 0 || r.base+uint64(r.size) > uint64(len(mem)):
		return nil, fmt.Errorf("ring of %d bytes at %#x does not fit a mapping of %d", r.size, r.base, len(mem))
	case r.tail >= r.size || r.tail%entryAlign != 0:
		return nil, fmt.Errorf("ring tail %#x is outside the ring", r.tail)
	}
	return r, nil
}

// take reads the oldest command not yet taken into c, or returns false if
// there is none. An entry that is no command is passed over; one that makes no
// sense as a command is handed back as unknown. An error means that the ring
// itself cannot be followed any further.
func (r *ring) take(c *command) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.managed, r.reset = false, false
	for {
		head := r.mb.head.Load()
		if head == r.next {
			return false, nil
		}
		if head >= r.size {
			return false, fmt.Errorf("ring head %#x is outside the ring of %#x bytes", head, r.size)
		}
		posted := head - r.next // bytes between them, going round the end
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
			t := at[taskManagement](r.mem[:r.base+uint64(off)+uint64(n)], r.base+uint64(off))
			r.managed, r.reset = true, r.reset || t != nil && t.kind == unitReset
		case opPad:
		default:
			h.uflags |= flagUnknownOp
		}
		r.settle()
	}
}

// read copies the command in the entry of n bytes at off, and says whether it
// makes sense. Its data buffers are slices of the mapping, in the data area
// and nowhere else.
func (r *ring) read(c *command, off, n uint32) bool {
	entry := r.mem[:r.base+uint64(off)+uint64(n)]
	start := r.base + uint64(off)
	if at[response](entry, start) == nil {
		return false // the answer would run into the next entry
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

// settle moves the tail over what wants no answer.
func (r *ring) settle() {
	if r.count == 0 {
		r.tail = r.next
	} else {
		r.tail = r.slots[r.first]
	}
}

// answer writes the answer to the command id, which take returned once. The
// kernel may see it only after publish.
func (r *ring) answer(id uint16, status byte, n int, sense []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rsp := at[response](r.mem, r.base+uint64(r.slots[r.first]))
	r.first = (r.first + 1) % uint32(len(r.slots))
	r.count--

	rsp.id = id
	rsp.uflags = 0
	rsp.status = status
	rsp.readLen = 0
	if n > 0 {
		rsp.uflags = flagReadLen
		rsp.readLen = uint32(n)
	}
	if status == checkCondition {
		clear(rsp.sense[copy(rsp.sense[:], sense):])
	}
	r.settle()
}

// publish lets the kernel see the answers so far, and says whether there are
// any that it has not seen; then it must be told.
func (r *ring) publish() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mb.tail.Load() == r.tail {
		return false
	}
	r.mb.tail.Store(r.tail)
	return true
}
