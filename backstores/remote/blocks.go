package remote

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// blockBytes is the unit of the cache, and of the smallest request. A request of
// 16 KiB takes as long as one of 4 KiB.
const blockBytes = 16 << 10

// blocks is a cache of blocks of the image in a fixed number of slots. A block is
// evicted if it was not read since the hand of a clock passed it last.
type blocks struct {
	mu     sync.Mutex
	freed  sync.Cond // signals that a slot is no longer in use
	where  map[int64]int32
	slots  []slot
	most   int // slots to use, see limit
	made   int // slots used so far; the memory of the others is untouched
	hand   int
	arena  []byte
	hits   uint64
	misses uint64
}

// A slot holds a block. The lock of the cache guards its fields except buf, which
// its users may read once ready is nil or closed.
type slot struct {
	buf   []byte
	block int64 // or -1
	n     int   // bytes of the block
	users int   // goroutines that read or fill it
	ready chan struct{}
	err   error
	read  bool // since the hand passed
}

// newBlocks returns a cache that takes this much memory at most.
func newBlocks(memory int64) (*blocks, error) {
	n := max(int(memory/blockBytes), minSlots)
	// Outside the heap the memory never exceeds the limit, however late the
	// garbage collector runs.
	arena, err := unix.Mmap(-1, 0, n*blockBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("%d bytes of memory: %w", n*blockBytes, err)
	}
	c := &blocks{where: make(map[int64]int32), slots: make([]slot, n), most: n, arena: arena}
	c.freed.L = &c.mu
	return c, nil
}

// minSlots is for the largest request, so that one is never cut short.
const minSlots = maxRequest / blockBytes

// limit reduces the memory. It is for a cache that is nearly empty.
func (c *blocks) limit(memory int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = min(c.most, max(int(memory/blockBytes), minSlots))
}

func (c *blocks) close() error { return unix.Munmap(c.arena) }

// The methods below must be called with the lock held.

// claim gives a block that is absent a slot. The caller becomes a user of the slot
// and must fill it. If all slots are in use claim returns nil.
func (c *blocks) claim(block int64, n int) *slot {
	i := c.room()
	if i < 0 {
		return nil
	}
	s := &c.slots[i]
	*s = slot{buf: c.arena[i*blockBytes:][:blockBytes:blockBytes], block: block, n: n, users: 1, ready: make(chan struct{})}
	c.where[block] = int32(i)
	return s
}

// room returns a free slot, if necessary by evicting a block.
func (c *blocks) room() int {
	if c.made < c.most {
		c.made++
		return c.made - 1
	}
	for range 2 * c.made {
		i := c.hand
		c.hand = (c.hand + 1) % c.made
		s := &c.slots[i]
		switch {
		case s.users > 0:
		case s.read:
			s.read = false
		default:
			if s.block >= 0 {
				delete(c.where, s.block)
			}
			return i
		}
	}
	return -1
}

// filled ends the claim of a slot. After an error the next read claims the block
// again.
func (c *blocks) filled(s *slot, err error) {
	if s.err = err; err != nil {
		delete(c.where, s.block)
		s.block = -1
	}
	close(s.ready)
	s.ready = nil
	c.drop(s)
}

// waitFreed waits until a slot is no longer in use, or for the time given.
func (c *blocks) waitFreed(until time.Time) {
	wake := time.AfterFunc(time.Until(until), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.freed.Broadcast()
	})
	c.freed.Wait()
	wake.Stop()
}

// drop ends one use of a slot.
func (c *blocks) drop(s *slot) {
	if s.users--; s.users == 0 {
		c.freed.Broadcast()
	}
}
