package seekable

import (
	"sync"
)

// A cache holds decoded frames in a fixed number of slots.
//
// Which frame makes room for another is decided by two queues, after the 2Q of
// Johnson and Shasha. A frame enters the queue of recent ones and leaves it in
// the order of entry. One that is asked for again, other than by a reader that
// goes on where it stopped, moves to the queue of frequent ones, of which the
// longest unused goes. Recent frames are the first to go as long as they hold
// more than a quarter of the slots: reading a disk from end to end costs the
// frequent ones at most that quarter, and takes no more memory, if there is not
// enough for all of it.
type cache struct {
	index  *Index
	mu     sync.Mutex
	freed  sync.Cond // a slot that was in use is no longer
	where  []int32   // by frame: its slot, or absent or zero
	data   int       // frames that were not known to be zeros at the start
	slots  []slot
	made   int    // slots handed out so far; the others' memory is untouched
	hits   uint64 // frames read that were decoded already
	misses uint64 // and those that were not
	free   []int32
	queues [2]queue
}

const (
	absent = -1
	zero   = -2 // the frame decodes to zeros, and has no slot
)

const (
	recent = iota
	frequent
)

// A slot is the place of a frame. Its fields are guarded by the cache's lock;
// buf by users: who holds one may read it, once ready is closed.
type slot struct {
	buf   []byte
	frame int32
	users int32
	ready chan struct{} // until the frame is decoded; nil afterwards
	err   error         // why it could not be

	touched bool  // read from, not only read ahead
	next    int64 // where a reader that goes on would read
	run     int32 // frames read one after another up to this one

	queue      int8
	prev, succ int32
}

// A queue is a list of slots. Its newest is at the tail.
type queue struct {
	head, tail int32
	n          int
}

// newCache makes one of n slots for frames of an index. Slot i's buffer is
// buf(i).
func newCache(x *Index, n int, buf func(i int) []byte) *cache {
	c := &cache{index: x, where: make([]int32, len(x.frames)), slots: make([]slot, n)}
	c.freed.L = &c.mu
	for i := range c.where {
		if x.isZero(i) {
			c.where[i] = zero
		} else {
			c.where[i] = absent
			c.data++
		}
	}
	for i := range c.slots {
		c.slots[i].buf = buf(i)
	}
	for i := range c.queues {
		c.queues[i] = queue{head: absent, tail: absent}
	}
	return c
}

// The methods below are called with the lock held.

// claim gives frame i, which is absent, a slot of which the caller is a user
// and the one to fill it. It is absent if all are in use.
func (c *cache) claim(i int) int32 {
	s := c.room()
	if s == absent {
		return absent
	}
	t := &c.slots[s]
	t.frame, t.users, t.err, t.ready = int32(i), 1, nil, make(chan struct{})
	t.touched, t.next, t.run = false, -1, 0
	c.where[i] = s
	c.push(s, recent)
	return s
}

// room takes a slot that holds nothing, or makes one so.
func (c *cache) room() int32 {
	if n := len(c.free); n > 0 {
		s := c.free[n-1]
		c.free = c.free[:n-1]
		return s
	}
	first, second := recent, frequent
	if c.queues[recent].n <= len(c.slots)/4 {
		first, second = frequent, recent
	}
	if c.made < len(c.slots) && !(first == recent && c.passed(c.queues[recent].head)) {
		c.made++
		return int32(c.made - 1)
	}
	for _, q := range [...]int{first, second} {
		for s := c.queues[q].head; s != absent; s = c.slots[s].succ {
			if c.slots[s].users == 0 {
				c.remove(s)
				c.where[c.slots[s].frame] = absent
				return s
			}
		}
	}
	return absent
}

// passed tells whether the frame in slot s, one of too many to keep, was read to
// its end, where a reader that goes on leaves it.
func (c *cache) passed(s int32) bool {
	t := &c.slots[s]
	return t.users == 0 && t.next == c.index.end(int(t.frame)) && len(c.slots) < c.data
}

// filled ends the filling of a slot. All zeros need none.
func (c *cache) filled(s int32, err error, zeros bool) {
	t := &c.slots[s]
	t.err = err
	close(t.ready)
	t.ready = nil
	switch {
	case err != nil:
		// Whoever waits gets the error; who comes later tries again.
		c.where[t.frame] = absent
	case zeros:
		c.where[t.frame] = zero
	}
}

// drop ends the use of a slot.
func (c *cache) drop(s int32) {
	t := &c.slots[s]
	if t.users--; t.users > 0 {
		return
	}
	if c.where[t.frame] != s {
		c.remove(s)
		c.free = append(c.free, s)
	}
	c.freed.Broadcast()
}

// touch notes that the n bytes at off in the frame of slot s are read, and
// returns how many frames have been read in a run when s is touched for the
// first time, else 0.
func (c *cache) touch(s int32, off, n int64) int32 {
	t := &c.slots[s]
	goesOn := t.next == off
	t.next = off + n
	if t.touched {
		if t.queue == frequent || !goesOn {
			c.remove(s)
			c.push(s, frequent)
		}
		return 0
	}
	t.touched = true
	t.run = 1
	if t.frame > 0 {
		if p := c.where[t.frame-1]; p >= 0 && c.slots[p].touched {
			t.run = min(c.slots[p].run+1, 1<<20)
		} else if p == zero {
			t.run = 2 // perhaps; nobody counts the readers of zeros
		}
	}
	return t.run
}

func (c *cache) push(s int32, q int8) {
	t, l := &c.slots[s], &c.queues[q]
	t.queue, t.prev, t.succ = q, l.tail, absent
	if l.tail != absent {
		c.slots[l.tail].succ = s
	} else {
		l.head = s
	}
	l.tail = s
	l.n++
}

func (c *cache) remove(s int32) {
	t := &c.slots[s]
	l := &c.queues[t.queue]
	if t.prev != absent {
		c.slots[t.prev].succ = t.succ
	} else {
		l.head = t.succ
	}
	if t.succ != absent {
		c.slots[t.succ].prev = t.prev
	} else {
		l.tail = t.prev
	}
	l.n--
}
