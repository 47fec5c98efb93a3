package decoded

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lunserve/lunserve/backstores"
)

// parts is a Source whose parts are pieces of data, and which counts how often each
// is decoded.
type parts struct {
	data []byte
	size int64
	fail error

	plain int64 // parts that need not be decoded

	mu    sync.Mutex
	count map[int64]int
}

func (p *parts) n() int64 { return (int64(len(p.data)) + p.size - 1) / p.size }

func (p *parts) Encoded(i int64) bool { return i >= p.plain && i < p.n() }

func (p *parts) Decode(i int64, in, out []byte) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return false, p.fail
	}
	if int64(len(in)) != p.size || len(out) != 0 || int64(cap(out)) < p.size+Slack {
		return false, fmt.Errorf("buffers of %d and %d bytes", len(in), cap(out))
	}
	p.count[i]++
	copy(out[:p.size], p.data[i*p.size:])
	return false, nil
}

// read reads n bytes at off from a cache of parts.
func (p *parts) read(c *Cache, off, n int64) ([]byte, error) {
	var all []byte
	first, last := off/p.size, (off+n-1)/p.size
	for i := first; i <= last; i++ {
		at := off + int64(len(all)) - i*p.size
		k := min(n-int64(len(all)), p.size-at)
		b, slot, err := c.Use(Range{Part: i, Off: at, N: k, Ends: at+k == p.size, Before: i - first, After: last - i}, true)
		if err != nil {
			return all, err
		}
		all = append(all, b...)
		c.Done(slot)
	}
	return all, nil
}

// open returns a cache of n bytes of noise in parts of a size.
func open(t *testing.T, n int, size, memory int64) (*Cache, *parts) {
	t.Helper()
	p := &parts{data: make([]byte, n), size: size, count: map[int64]int{}}
	rand.NewChaCha8([32]byte{1}).Read(p.data)
	c, err := New(p, Config{Memory: memory, Parts: p.n(), EncodedSize: size, DecodedSize: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, p
}

// To read an image from end to end that is larger than the cache uses a quarter of
// its slots, and a few for parts in flight. An image that fits stays cached.
func TestReadingFromEndToEndTakesAQuarter(t *testing.T) {
	for _, size := range []int{8 << 20, 900 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const part = 4 << 10
				c, p := open(t, size, part, 1<<20)
				for range 2 {
					for off := 0; off < size; off += 3 * part {
						n := min(3*part, size-off)
						if got, err := p.read(c, int64(off), int64(n)); err != nil || !bytes.Equal(got, p.data[off:off+n]) {
							t.Fatalf("read at %d: other bytes, or %v", off, err)
						}
						synctest.Wait() // for what is decoded ahead
					}
				}
				slots := len(c.slots)
				if slots < size/part {
					if most := slots/4 + int(c.ahead.most) + 3; c.made > most {
						t.Errorf("took %d of %d slots, and wanted %d at most", c.made, slots, most)
					}
					return
				}
				for i, n := range p.count {
					if n != 1 {
						t.Errorf("part %d was decoded %d times", i, n)
					}
				}
			})
		})
	}
}

// All memory of a cache is within the limit, whatever the size of the parts is.
func TestMemoryIsAsGiven(t *testing.T) {
	const memory = 4 << 20
	for _, size := range []int64{512, 4 << 10, 100_000, 1_000_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := open(t, 12<<20/int(size)*int(size), size, memory)
				for off := 0; off < len(p.data); off += 1 << 20 {
					n := min(1<<20, len(p.data)-off)
					if got, err := p.read(c, int64(off), int64(n)); err != nil || !bytes.Equal(got, p.data[off:off+n]) {
						t.Fatalf("read at %d: other bytes, or %v", off, err)
					}
				}
				synctest.Wait()
				took := int64(len(c.arena))
				for range cap(c.inputs) {
					took += int64(cap(<-c.inputs))
				}
				if took > memory || took < memory/2 {
					t.Errorf("took %d bytes of %d", took, memory)
				}
			})
		})
	}
}

// Reads in order are decoded ahead, also after parts that need not be decoded, and
// reads here and there are not.
func TestOnlyReadsInOrderAreDecodedAhead(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Range
		want int
	}{
		{"here and there", Range{Part: 9, N: 100}, 1},
		{"after a part that is plain", Range{Part: 9, N: 100, Follows: true}, 3},
		{"of more parts", Range{Part: 9, N: 100, After: 4}, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := open(t, 256<<10, 4<<10, 1<<20)
			p.plain = 9
			_, slot, err := c.Use(tt.r, true)
			if err != nil {
				t.Fatal(err)
			}
			c.Done(slot)
			synctest.Wait()
			if len(p.count) != tt.want {
				t.Errorf("%s: decoded %v, want %d", tt.name, p.count, tt.want)
			}
		})
	}
}

// A read that must not wait gets what is decoded, and nothing else.
func TestWithoutWaiting(t *testing.T) {
	c, p := open(t, 64<<10, 4<<10, 1<<20)
	r := Range{Part: 3, Off: 10, N: 100}
	if _, _, err := c.Use(r, false); err != backstores.ErrWouldBlock {
		t.Errorf("before: %v", err)
	}
	if _, err := p.read(c, 3*4096, 1); err != nil {
		t.Fatal(err)
	}
	got, slot, err := c.Use(r, false)
	if err != nil || !bytes.Equal(got, p.data[3*4096+10:][:100]) {
		t.Errorf("after: other bytes, or %v", err)
	}
	c.Done(slot)
	if hits, misses := c.Hits(); hits != 1 || misses != 1 {
		t.Errorf("%d hits and %d misses", hits, misses)
	}
}

// A part that cannot be decoded is tried again at the next read, and takes no slot.
func TestErrorIsNotCached(t *testing.T) {
	c, p := open(t, 64<<10, 4<<10, 1<<20)
	p.fail = errors.New("damaged")
	for range 2 * len(c.slots) {
		if _, err := p.read(c, 4096, 1); err != p.fail {
			t.Fatal(err)
		}
	}
	p.fail = nil
	if got, err := p.read(c, 4096, 1); err != nil || got[0] != p.data[4096] {
		t.Errorf("then: %v, %v", got, err)
	}
}
