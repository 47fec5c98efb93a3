package seekable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/decoded"
)

// A Reader reads a file at any offset. Its methods are safe for concurrent use,
// except Close, which must be called last.
type Reader struct {
	src     io.ReaderAt
	index   *Index
	changed func() error
	dec     *zstd.Decoder
	cache   *decoded.Cache
	zeros   []atomic.Uint64 // a bit for each frame that is known to decode to zeros
	skipped atomic.Uint64   // reads of those
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
	r := &Reader{src: src, index: x, changed: c.Changed, zeros: make([]atomic.Uint64, (x.frames.n+63)/64)}
	if r.changed == nil {
		r.changed = func() error { return nil }
	}
	data := int64(x.frames.n)
	for i, word := range x.zeros[:min(len(x.zeros), len(r.zeros))] {
		r.zeros[i].Store(word)
		data -= int64(bits.OnesCount64(word))
	}
	dec, err := newDecoder()
	if err != nil {
		return nil, err
	}
	r.dec = dec
	r.cache, err = decoded.New(frameSource{r}, decoded.Config{Memory: c.Memory, Reads: c.Reads, Parts: data, EncodedSize: x.maxC, DecodedSize: x.maxD})
	if err != nil {
		dec.Close()
		return nil, err
	}
	return r, nil
}

// Size returns the size of the decoded file.
func (r *Reader) Size() int64 { return r.index.size }

// Close stops reading ahead and frees the memory. The file stays open.
func (r *Reader) Close() error {
	err := r.cache.Close()
	r.dec.Close()
	return err
}

// ReadAt implements [io.ReaderAt].
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d", off)
	}
	if off >= r.index.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.index.size-off)
	v := backstores.OneSegment(p)
	defer v.Free()
	done, err := r.read(v, off, n, true)
	if err == nil && n < int64(len(p)) {
		err = io.EOF
	}
	return int(done), err
}

// ReadVec fills bufs, which have n bytes in all, from off. The range must lie in
// the file. If wait is not set, and a frame is not decoded yet, ReadVec returns
// [backstores.ErrWouldBlock]. Part of bufs may have been changed.
func (r *Reader) ReadVec(bufs [][]byte, off, n int64, wait bool) error {
	v := backstores.NewSegments(bufs)
	defer v.Free()
	_, err := r.read(v, off, n, wait)
	return err
}

func (r *Reader) read(v *backstores.Segments, off, n int64, wait bool) (done int64, err error) {
	if n == 0 {
		return 0, nil
	}
	first, last := r.index.find(off), r.index.find(off+n-1)
	for i := first; i <= last; i++ {
		start, end := r.index.frames.at(i).start, r.index.end(i)
		at := off + done
		k := min(n-done, end-at)
		if r.isZero(i) {
			r.skipped.Add(1)
			v.Zero(k)
		} else {
			p, slot, err := r.cache.Use(decoded.Range{
				Part: int64(i), Off: at - start, N: k, Ends: at+k == end,
				Before: int64(i - first), After: int64(last - i), Follows: true,
			}, wait)
			if err != nil {
				return done, err
			}
			v.Put(p)
			r.cache.Done(slot)
		}
		done += k
	}
	return done, nil
}

// Hits returns how many reads found their frame decoded, and how many did not. A
// read of several frames counts once for each.
func (r *Reader) Hits() (hits, misses uint64) {
	hits, misses = r.cache.Hits()
	return hits + r.skipped.Load(), misses
}

func (r *Reader) isZero(i int) bool { return r.zeros[i/64].Load()>>(i%64)&1 != 0 }

// Zero reports whether the n bytes at off are known to be zeros. The bytes after
// them may be of the same kind.
func (r *Reader) Zero(off int64) (n int64, known bool) {
	const atOnce = 64 << 10 // frames, to take little time
	i := r.index.find(off)
	known = r.isZero(i)
	end := min(i+atOnce, r.index.frames.n)
	for i++; i < end && r.isZero(i) == known; i++ {
	}
	return r.index.end(i-1) - off, known
}

// A frameSource decodes the frames of a Reader for its cache.
type frameSource struct{ *Reader }

// Encoded implements [decoded.Source].
func (r frameSource) Encoded(i int64) bool {
	return i < int64(r.index.frames.n) && !r.isZero(int(i))
}

// Decode implements [decoded.Source].
func (r frameSource) Decode(n int64, in, out []byte) (zeros bool, err error) {
	i := int(n)
	zeros, err = r.decode(i, in, out)
	if zeros {
		r.zeros[i/64].Or(1 << (i % 64))
	}
	return zeros, err
}

// decode decodes frame i, which is read to in, to buf, and reports whether it is
// zeros. If the index has its checksum, the frame itself shows that it is the one
// that was there when the file was opened. Otherwise the whole file must be
// unchanged.
func (r *Reader) decode(i int, in, buf []byte) (zeros bool, err error) {
	f := r.index.frames.at(i)
	zeros, err = r.decodeFrame(f, r.index.dsize(i), in, buf)
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

// decodeFrame decodes a frame of want bytes, which is read to in, to buf, and
// compares it with its checksum.
func (r *Reader) decodeFrame(f *frame, want int64, in, buf []byte) (zeros bool, err error) {
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
		out, err = r.dec.DecodeAll(src, buf[:0:want+decoded.Slack])
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
