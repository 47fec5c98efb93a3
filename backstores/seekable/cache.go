package seekable

import (
	"sync"
)

// A cache holds decoded frames in a fixed number of slots.
//
// Two queues decide which frame is evicted, after the 2Q algorithm of Johnson and
// Shasha. A frame enters the queue of recent frames, which is first in, first out.
// If it is read again, except by a sequential reader, it moves to the queue of
// frequent frames, which evicts the least recently used. Recent frames are evicted
// first as long as they hold more than a quarter of the slots. So to read a disk
// from end to end evicts frequent frames from that quarter only and, if the cache
// is smaller than the disk, uses no new slots.
type cache struct {
	index  *Index
	mu     sync.Mutex
	freed  sync.Cond // signals that a slot is no longer in use
	where  []int32   // the slot of each frame, or absent or zero
	data   int       // frames that are not known to be zeros in the index
	slots  []slot
	made   int    // slots used so far; the memory of the others is untouched
	hits   uint64 // reads of frames that were decoded already
	misses uint64 // and of those that were not
	free   []int32
	queues [2]queue
}

const (
	absent = -1
	zero   = -2 // the frame decodes to zeros and needs no slot
)

const (
	recent = iota
	frequent
)

// A slot holds a frame. The cache's lock guards its fields except buf, which its
// users may read once ready is closed.
type slot struct {
	buf   []byte
	frame int32
	users int32
	ready chan struct{} // open until the frame is decoded, then nil
	err   error         // of decoding

	touched bool  // read, not only read ahead
	next    int64 // where a sequential reader continues
	run     int32 // frames read in order up to this one

	queue      int8
	prev, succ int32
}

// A queue is a list of slots, the newest at the tail.
type queue struct {
	head, tail int32
	n          int
}

// newCache returns a cache of n slots. buf(i) is the buffer of slot i.
func newCache(x *Index, n int, buf func(i int) []byte) *cache {
	c := &cache{index: x, where: make([]int32, x.frames.n), slots: make([]slot, n)}
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

// The methods below must be called with the lock held.

// claim gives frame i, which is absent, a slot. The caller becomes a user of the
// slot and must fill it. If all slots are in use claim returns absent.
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

// room returns a free slot, if necessary by evicting a frame.
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

// passed reports whether the frame in slot s was read to its end, where a
// sequential reader leaves it, and the cache is too small for all frames.
func (c *cache) passed(s int32) bool {
	t := &c.slots[s]
	return t.users == 0 && t.next == c.index.end(int(t.frame)) && len(c.slots) < c.data
}

// filled records that a slot was filled. A frame of zeros needs none.
func (c *cache) filled(s int32, err error, zeros bool) {
	t := &c.slots[s]
	t.err = err
	close(t.ready)
	t.ready = nil
	switch {
	case err != nil:
		// Those who wait get the error. The next read tries again.
		c.where[t.frame] = absent
	case zeros:
		c.where[t.frame] = zero
	}
}

// drop ends one use of a slot.
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

// touch records a read of the n bytes at off in the frame of slot s. At the first
// read of the frame it returns the length of the run of frames read in order,
// else 0.
func (c *cache) touch(s int32, off, n int64) int32 {
	t := &c.slots[s]
	sequential := t.next == off
	t.next = off + n
	if t.touched {
		if t.queue == frequent || !sequential {
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
			t.run = 2 // a guess: reads of zeros are not recorded
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
