// Package decoded keeps decoded parts of an image in memory of a fixed size.
//
// Compressed images consist of parts that are decoded as a whole: the frames of a
// zstd file, the clusters of a qcow2 image. A [Cache] decodes each part once while
// it stays cached, however many readers want it, and decodes ahead of those that
// read in order, on all cores.
//
// The packages of such formats import it. It knows no format and opens no file.
package decoded

import (
	"cmp"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// A Source decodes the parts of an image, which are numbered in the order of what
// they decode to. Its methods are safe for concurrent use.
type Source interface {
	// Decode decodes part i to out, which is empty and has room for the largest
	// part and [Slack] bytes. in has Config.EncodedSize bytes, for the encoded
	// part. If the part decodes to zeros, and the source will know that from now
	// on, Decode may report it: the part then takes no room.
	Decode(i int64, in, out []byte) (zeros bool, err error)

	// Encoded reports whether there is a part i which has to be decoded, as far
	// as that is known without waiting. It is called with the lock of the cache
	// held, so it must not use this cache. It may use another one, such as that of
	// the tables that say where parts are, whose source uses no third.
	Encoded(i int64) bool
}

// Slack is room after a decoded part. With it the zstd decoder writes the last
// block without a bounds check at each step, which is a third faster for a frame of
// one block.
const Slack = 16

// Config configures a Cache.
type Config struct {
	// Memory is the size in bytes of all buffers, decoded and encoded.
	Memory int64

	// Reads is how many parts are read from the file at a time, if the memory
	// suffices: 0 stands for a file of this machine, which the CPUs bound.
	Reads int

	// Parts is the largest number of parts that have to be decoded. If they all
	// fit in memory, none is evicted.
	Parts int64

	// EncodedSize and DecodedSize are the sizes in bytes of the largest part.
	EncodedSize, DecodedSize int64
}

// A Cache holds decoded parts in a fixed number of slots. Its methods are safe for
// concurrent use, except Close, which must be called last.
//
// Two queues decide which part is evicted, after the 2Q algorithm of Johnson and
// Shasha. A part enters the queue of recent parts, which is first in, first out.
// If it is read again, except by a sequential reader, it moves to the queue of
// frequent parts, which evicts the least recently used. Recent parts are evicted
// first as long as they hold more than a quarter of the slots. So to read a disk
// from end to end evicts frequent parts from that quarter only and, if the cache
// is smaller than the disk, uses no new slots.
type Cache struct {
	src   Source
	size  int64 // of the largest part, decoded
	small bool  // not all parts fit
	arena []byte
	ahead ahead

	// inputs holds buffers for encoded parts, more than there are decoders, so
	// that parts are read while others are decoded.
	inputs  chan []byte
	encoded int64 // their size

	mu     sync.Mutex
	freed  sync.Cond       // signals that a slot is no longer in use
	where  map[int64]int32 // the slot of each part that has one
	slots  []slot
	made   int    // slots used so far; the memory of the others is untouched
	hits   uint64 // reads of parts that were decoded already
	misses uint64 // and of those that were not
	free   []int32
	queues [2]queue
}

// New returns an empty cache of the parts of src.
func New(src Source, o Config) (*Cache, error) {
	c := &Cache{src: src, size: o.DecodedSize, encoded: o.EncodedSize, where: make(map[int64]int32)}
	c.freed.L = &c.mu
	for i := range c.queues {
		c.queues[i] = queue{head: absent, tail: absent}
	}
	// Slots begin on a cache line. Nearly all images have parts of one size, so
	// all slots are as large as the largest part.
	stride := (c.size + Slack + 63) &^ 63
	reads := cmp.Or(int64(o.Reads), 2*int64(runtime.GOMAXPROCS(0))+2)
	inputs := max(1, min(reads, o.Memory/8/max(c.encoded, 1)))
	n := min((o.Memory-inputs*c.encoded)/stride, o.Parts)
	if n < min(2, o.Parts) {
		return nil, fmt.Errorf("parts of %d bytes do not fit in %d bytes of memory", c.size, o.Memory)
	}
	c.small = n < o.Parts
	// Outside the heap the memory never exceeds the limit, however late the
	// garbage collector runs, and is not scanned.
	if n > 0 {
		var err error
		c.arena, err = unix.Mmap(-1, 0, int(n*stride), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			return nil, fmt.Errorf("%d bytes of memory: %w", n*stride, err)
		}
		// To read 1.5 GiB from end to end took 1.15 s and 66,500 page faults
		// without huge pages, 0.77 s and 3,200 with them (2 CPUs of an AMD EPYC
		// virtual machine, medians of 5 in turn, November 2026).
		unix.Madvise(c.arena, unix.MADV_HUGEPAGE)
	}
	c.slots = make([]slot, n)
	for i := range c.slots {
		c.slots[i].buf = c.arena[int64(i)*stride:][: 0 : c.size+Slack]
	}
	c.inputs = make(chan []byte, inputs)
	for range inputs {
		c.inputs <- nil // allocated when first used
	}
	c.ahead.start(c)
	return c, nil
}

// Close stops decoding ahead and frees the memory.
func (c *Cache) Close() error {
	c.ahead.stop()
	if c.arena == nil {
		return nil
	}
	return unix.Munmap(c.arena)
}

// Hits returns how many reads found their part decoded, and how many did not. A
// read of several parts counts once for each.
func (c *Cache) Hits() (hits, misses uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}

// A Range is bytes of one part, and what else the same read wants.
type Range struct {
	Part          int64
	Off, N        int64 // in the part
	Ends          bool  // the part ends there
	Before, After int64 // parts that the same read is of

	// Follows says that parts before this one which need not be decoded were
	// likely read: reads of those are not recorded.
	Follows bool
}

// Use returns the bytes of a range, decoded. They do not change until Done is
// called with the slot. If wait is not set and the part is not decoded yet, Use
// returns [backstores.ErrWouldBlock].
func (c *Cache) Use(r Range, wait bool) (p []byte, slot int32, err error) {
	c.mu.Lock()
	s, fill := c.take(r.Part, wait)
	if s == absent {
		c.mu.Unlock()
		return nil, absent, backstores.ErrWouldBlock
	}
	run := c.touch(s, r)
	ready := c.slots[s].ready
	if ready == nil {
		c.hits++
	} else {
		c.misses++
	}
	c.mu.Unlock()

	if run > 0 {
		c.ahead.want(r.Part, r.Part+r.After, int64(run)-r.Before)
	}
	if fill {
		c.fill(s, r.Part)
	} else if ready != nil {
		<-ready
	}
	// No lock is needed: a slot with users does not change.
	t := &c.slots[s]
	if t.err != nil {
		err := t.err
		c.Done(s)
		return nil, absent, err
	}
	return t.buf[r.Off : r.Off+r.N : cap(t.buf)], s, nil
}

// Done ends the use of a slot.
func (c *Cache) Done(slot int32) {
	c.mu.Lock()
	c.drop(slot)
	c.mu.Unlock()
}

// take returns the slot of part i. The caller becomes a user of the slot and, if
// fill is true, must fill it. take must be called with the lock held, and waits if
// all slots are in use. If wait is not set and the part is not decoded, it returns
// absent.
func (c *Cache) take(i int64, wait bool) (s int32, fill bool) {
	for {
		s, ok := c.where[i]
		switch {
		case !wait && (!ok || c.slots[s].ready != nil):
			return absent, false
		case ok:
			c.slots[s].users++
			return s, false
		}
		if s := c.claim(i); s != absent {
			return s, true
		}
		c.freed.Wait()
	}
}

// fill decodes part i into slot s and wakes those who wait for it.
func (c *Cache) fill(s int32, i int64) {
	in := <-c.inputs
	if in == nil {
		in = make([]byte, c.encoded)
	}
	zeros, err := c.src.Decode(i, in, c.slots[s].buf)
	c.inputs <- in
	c.mu.Lock()
	c.filled(s, err, zeros)
	c.mu.Unlock()
}
