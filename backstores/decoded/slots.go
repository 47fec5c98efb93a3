package decoded

// A slot holds a part. The cache's lock guards its fields except buf, which its
// users may read once ready is closed.
type slot struct {
	buf   []byte
	part  int64
	users int32
	ready chan struct{} // open until the part is decoded, then nil
	err   error         // of decoding

	touched bool  // read, not only decoded ahead
	ended   bool  // the last read was up to the end of the part
	next    int64 // where a sequential reader continues
	run     int32 // parts read in order up to this one

	queue      int8
	prev, succ int32
}

// A queue is a list of slots, the newest at the tail.
type queue struct {
	head, tail int32
	n          int
}

const absent = -1 // in place of a slot

const (
	recent = iota
	frequent
)

// The methods below must be called with the lock held.

// claim gives part i, which has none, a slot. The caller becomes a user of the
// slot and must fill it. If all slots are in use claim returns absent.
func (c *Cache) claim(i int64) int32 {
	s := c.room()
	if s == absent {
		return absent
	}
	t := &c.slots[s]
	t.part, t.users, t.err, t.ready = i, 1, nil, make(chan struct{})
	t.touched, t.ended, t.next, t.run = false, false, -1, 0
	c.where[i] = s
	c.push(s, recent)
	return s
}

// room returns a free slot, if necessary by evicting a part.
func (c *Cache) room() int32 {
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
				delete(c.where, c.slots[s].part)
				return s
			}
		}
	}
	return absent
}

// passed reports whether the part in slot s was read to its end, where a
// sequential reader leaves it, and the cache is too small for all parts.
func (c *Cache) passed(s int32) bool {
	t := &c.slots[s]
	return t.users == 0 && t.ended && c.small
}

// filled records that a slot was filled. Nobody finds it any more if that failed,
// or if it is not needed.
func (c *Cache) filled(s int32, err error, zeros bool) {
	t := &c.slots[s]
	t.err = err
	close(t.ready)
	t.ready = nil
	// Those who wait get the error. The next read tries again.
	if err != nil || zeros {
		delete(c.where, t.part)
	}
}

// drop ends one use of a slot.
func (c *Cache) drop(s int32) {
	t := &c.slots[s]
	if t.users--; t.users > 0 {
		return
	}
	if now, ok := c.where[t.part]; !ok || now != s {
		c.remove(s)
		c.free = append(c.free, s)
	}
	c.freed.Broadcast()
}

// touch records a read. At the first read of the part it returns the length of the
// run of parts read in order, else 0.
func (c *Cache) touch(s int32, r Range) int32 {
	t := &c.slots[s]
	sequential := t.next == r.Off
	t.next, t.ended = r.Off+r.N, r.Ends
	if t.touched {
		if t.queue == frequent || !sequential {
			c.remove(s)
			c.push(s, frequent)
		}
		return 0
	}
	t.touched = true
	t.run = 1
	if p, ok := c.where[t.part-1]; ok {
		if c.slots[p].touched {
			t.run = min(c.slots[p].run+1, 1<<20)
		}
	} else if r.Follows && t.part > 0 && !c.src.Encoded(t.part-1) {
		t.run = 2
	}
	return t.run
}

func (c *Cache) push(s int32, q int8) {
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

func (c *Cache) remove(s int32) {
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
