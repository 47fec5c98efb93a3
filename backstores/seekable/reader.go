package seekable

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// A Reader reads a file at any offset. Its methods are safe for concurrent use,
// except Close, which must be called last.
type Reader struct {
	src     io.ReaderAt
	index   *Index
	changed func() error
	dec     *zstd.Decoder
	arena   []byte
	cache   *cache
	ahead   ahead

	// inputs holds buffers for encoded frames, more than there are decoders, so
	// that frames are read while others are decoded.
	inputs chan []byte
}

// Config configures a Reader.
type Config struct {
	// Memory is the size in bytes of the cache and of the input buffers. It must
	// be at least four times the largest frame of the index.
	Memory int64

	// Reads is how many frames are read from the file at a time, if the memory
	// suffices: 0 stands for a file of this machine, which the CPUs bound.
	Reads int

	// Changed, if not nil, is called after each read from the file. If it
	// returns an error the read fails: the file may not match the index.
	Changed func() error
}

// NewReader returns a Reader for the file src.
func NewReader(src io.ReaderAt, x *Index, c Config) (*Reader, error) {
	r := &Reader{src: src, index: x, changed: c.Changed}
	if r.changed == nil {
		r.changed = func() error { return nil }
	}
	// Slots begin on a cache line. Nearly all files have frames of one size, so
	// all slots are as large as the largest frame.
	stride := (x.maxD + slack + 63) &^ 63
	reads := cmp.Or(int64(c.Reads), 2*int64(runtime.GOMAXPROCS(0))+2)
	inputs := max(1, min(reads, c.Memory/8/max(x.maxC, 1)))
	slots := min((c.Memory-inputs*x.maxC)/stride, int64(x.frames.n))
	if slots < min(2, int64(x.frames.n)) {
		return nil, fmt.Errorf("frames of %d bytes do not fit in %d bytes of memory", x.maxD, c.Memory)
	}
	dec, err := newDecoder()
	if err != nil {
		return nil, err
	}
	r.dec = dec
	// Outside the heap the memory never exceeds the limit, however late the
	// garbage collector runs, and is not scanned.
	if slots > 0 {
		r.arena, err = unix.Mmap(-1, 0, int(slots*stride), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			dec.Close()
			return nil, fmt.Errorf("%d bytes of memory: %w", slots*stride, err)
		}
		// To read 1.5 GiB from end to end took 1.15 s and 66,500 page faults
		// without huge pages, 0.77 s and 3,200 with them (2 CPUs of an AMD EPYC
		// virtual machine, medians of 5 in turn, November 2026).
		unix.Madvise(r.arena, unix.MADV_HUGEPAGE)
	}
	r.cache = newCache(x, int(slots), func(i int) []byte {
		return r.arena[int64(i)*stride:][: 0 : x.maxD+slack]
	})
	r.inputs = make(chan []byte, inputs)
	for range inputs {
		r.inputs <- nil // allocated when first used
	}
	r.ahead.start(r, int(slots))
	return r, nil
}

// Size returns the size of the decoded file.
func (r *Reader) Size() int64 { return r.index.size }

// Close stops reading ahead and frees the memory. The file stays open.
func (r *Reader) Close() error {
	r.ahead.stop()
	r.dec.Close()
	if r.arena == nil {
		return nil
	}
	return unix.Munmap(r.arena)
}

// ErrNotCached is the error of [Reader.ReadCached].
var ErrNotCached = errors.New("not cached")

// ReadAt implements [io.ReaderAt].
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	if off >= r.index.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.index.size-off)
	done, err := r.read(vector{bufs: [][]byte{p}}, off, n)
	if err == nil && n < int64(len(p)) {
		err = io.EOF
	}
	return int(done), err
}

// ReadVec fills bufs, which have n bytes in all, from off. The range must lie in
// the file.
func (r *Reader) ReadVec(bufs [][]byte, off, n int64) error {
	_, err := r.read(vector{bufs: bufs}, off, n)
	return err
}

func (r *Reader) read(v vector, off, n int64) (done int64, err error) {
	if n == 0 {
		return 0, nil
	}
	first, last := r.index.find(off), r.index.find(off+n-1)
	for i := first; i <= last; i++ {
		k := min(n-done, r.index.end(i)-off-done)
		if err := r.readFrame(&v, off+done, k, i, first, last); err != nil {
			return done, err
		}
		done += k
	}
	return done, nil
}

// readFrame reads n bytes at off, which are in frame i. The whole read is of the
// frames from first to last.
func (r *Reader) readFrame(v *vector, off, n int64, i, first, last int) error {
	c := r.cache
	c.mu.Lock()
	s, fill := r.take(i)
	if s == zero {
		c.hits++
		c.mu.Unlock()
		v.zero(n)
		return nil
	}
	run := c.touch(s, off, n)
	ready := c.slots[s].ready
	if ready == nil {
		c.hits++
	} else {
		c.misses++
	}
	c.mu.Unlock()

	if run > 0 {
		r.ahead.want(i, last, int(run)-(i-first))
	}
	if fill {
		r.fill(s, i)
	} else if ready != nil {
		<-ready
	}
	// No lock is needed: a slot with users does not change.
	t := &c.slots[s]
	err := t.err
	if err == nil {
		v.put(r.part(t, i, off, n))
	}
	c.mu.Lock()
	c.drop(s)
	c.mu.Unlock()
	return err
}

// part returns n bytes at off in frame i, which is in slot t.
func (r *Reader) part(t *slot, i int, off, n int64) []byte {
	start := off - r.index.frames.at(i).start
	return t.buf[start : start+n : cap(t.buf)]
}

// take returns the slot of frame i, or zero. The caller becomes a user of the slot
// and, if fill is true, must fill it. take must be called with the lock held, and
// waits if all slots are in use.
func (r *Reader) take(i int) (s int32, fill bool) {
	for {
		switch s := r.cache.where[i]; s {
		case zero:
			return zero, false
		case absent:
			if s := r.cache.claim(i); s != absent {
				return s, true
			}
			r.cache.freed.Wait()
		default:
			r.cache.slots[s].users++
			return s, false
		}
	}
}

// fill decodes frame i into slot s and wakes those who wait for it.
func (r *Reader) fill(s int32, i int) {
	buf := r.cache.slots[s].buf
	zeros, err := r.decode(i, buf[:0:cap(buf)])
	r.cache.mu.Lock()
	r.cache.filled(s, err, zeros)
	r.cache.mu.Unlock()
}

// decode decodes frame i into buf and reports whether it is zeros. If the index
// has its checksum, the frame itself shows that it is the one that was there when
// the file was opened. Otherwise the whole file must be unchanged.
func (r *Reader) decode(i int, buf []byte) (zeros bool, err error) {
	f := r.index.frames.at(i)
	zeros, err = r.decodeFrame(f, r.index.dsize(i), buf)
	if err != nil || !r.index.Sums {
		if changed := r.changed(); changed != nil {
			err = changed
		}
	}
	if err != nil {
		return false, fmt.Errorf("frame %d at %d of the file: %w", i, f.off, err)
	}
	return zeros, nil
}

// decodeFrame decodes a frame of want bytes into buf and compares it with its
// checksum.
func (r *Reader) decodeFrame(f *frame, want int64, buf []byte) (zeros bool, err error) {
	in := <-r.inputs
	defer func() { r.inputs <- in }()
	if in == nil {
		in = make([]byte, r.index.maxC)
	}
	src := in[:f.csize]
	if err := readFull(r.src, src, f.off); err != nil {
		return false, err
	}
	// The decoder would also take several frames, and ignore 3 bytes after them.
	g, err := one(src)
	if err != nil {
		return false, err
	}
	size := g.dsize
	var out []byte
	if size < 0 || size == want {
		out, err = r.dec.DecodeAll(src, buf[:0:want+slack])
		size = int64(len(out))
	}
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = fmt.Errorf("decodes to more than %d bytes, the size in the index", want)
	}
	if err != nil {
		return false, err
	}
	if size != want {
		return false, fmt.Errorf("decodes to %d bytes, the index says %d", size, want)
	}
	// The decoder allocates another buffer if it might need more space.
	if want > 0 && &out[0] != &buf[:1][0] {
		copy(buf[:want], out)
	}
	if r.index.Sums && !sumMatches(src, out, f.sum) {
		return false, errors.New("does not match the checksum in the seek table")
	}
	return backstores.IsZero(out), nil
}

// sumMatches reports whether a decoded frame has the checksum of the table. If the
// frame ends in a checksum of its own, the decoder has verified that one.
func sumMatches(src, out []byte, sum uint32) bool {
	const checksumFlag = 1 << 2 // of the Frame_Header_Descriptor, after the magic
	if src[4]&checksumFlag != 0 {
		return binary.LittleEndian.Uint32(src[len(src)-4:]) == sum
	}
	return uint32(xxh64(out)) == sum
}

// ReadCached is like ReadVec, but returns [ErrNotCached] unless everything is
// cached. Part of bufs may have been changed.
func (r *Reader) ReadCached(bufs [][]byte, off, n int64) error {
	if n == 0 {
		return nil
	}
	v, c := vector{bufs: bufs}, r.cache
	for i := r.index.find(off); n > 0; i++ {
		k := min(n, r.index.end(i)-off)
		c.mu.Lock()
		s := c.where[i]
		if s == absent || s >= 0 && c.slots[s].ready != nil {
			c.mu.Unlock()
			return ErrNotCached
		}
		c.hits++
		if s == zero {
			c.mu.Unlock()
			v.zero(k)
		} else {
			run := c.touch(s, off, k)
			c.slots[s].users++
			c.mu.Unlock()
			if run > 0 {
				r.ahead.want(i, i, int(run))
			}
			v.put(r.part(&c.slots[s], i, off, k))
			c.mu.Lock()
			c.drop(s)
			c.mu.Unlock()
		}
		off, n = off+k, n-k
	}
	return nil
}

// Hits returns how many reads found their frame decoded, and how many did not. A
// read of several frames counts once for each.
func (r *Reader) Hits() (hits, misses uint64) {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	return r.cache.hits, r.cache.misses
}

// Zero reports whether the n bytes at off are known to be zeros. The bytes after
// them may be of the same kind.
func (r *Reader) Zero(off int64) (n int64, known bool) {
	const atOnce = 4096 // frames, to hold the lock briefly
	c := r.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	i := r.index.find(off)
	end := min(i+atOnce, len(c.where))
	known = c.where[i] == zero
	for i++; i < end && (c.where[i] == zero) == known; i++ {
	}
	return r.index.end(i-1) - off, known
}
