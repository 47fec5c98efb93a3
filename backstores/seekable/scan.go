package seekable

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/decoded"
)

// A Progress reports how much of a job is done. It is called from one goroutine
// at a time, and may be nil.
type Progress func(done, total int64)

func (p Progress) report(done, total int64) {
	if p != nil {
		p(done, total)
	}
}

// Scan finds the frames of the size bytes in r, none of which may decode to more
// than limit bytes. It uses the seek table if there is one that may be believed.
// Otherwise it reads the headers of all frames, until ctx is done.
//
// If a header lacks the size the index is incomplete: Sized is false, and
// [Scanned.Load] or [Scanned.Decode] completes it. If a frame is larger than limit,
// or there are too many, the error is [ErrFrames], and Known, All and Window count
// the frames without an index of them.
func Scan(ctx context.Context, r io.ReaderAt, size, limit int64, progress Progress) (*Scanned, error) {
	limit = min(limit, 1<<31-1)
	x, err := readTable(ctx, r, size, limit, progress)
	if err == nil {
		return &Scanned{Index: x, Sized: true}, nil
	}
	if err == ctx.Err() {
		return nil, err
	}
	s := &Scanned{Index: &Index{Source: FromHeaders}, Sized: true, Unchecked: err == errUnchecked}
	w := newWalker(r, size)
	w.digest = sha256.New()
	for n := 0; ; n++ {
		if n&0xfff == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			progress.report(w.off, size)
		}
		f, err := w.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if f.skip {
			continue
		}
		if err := s.add(f, limit); err != nil {
			return nil, err
		}
	}
	w.digest.Sum(s.Digest[:0])
	if s.large {
		return s, ErrFrames
	}
	if s.Sized {
		s.settle()
	}
	return s, nil
}

// A Scanned is the result of a scan.
type Scanned struct {
	*Index
	Sized     bool     // the index is complete
	Unchecked bool     // there is a seek table, which takes too long to check
	All       int      // number of frames, including empty ones, if there is no table
	Window    uint64   // the largest
	Known     int64    // total size of the frames whose header has it
	Digest    [32]byte // of the headers and checksums of frames whose size is unknown

	large bool   // frames are too large or too many
	sizes []byte // what Save saves, after Decode
}

// unsized is the sum of a frame whose header lacks its size. Sums in an index
// without a table are not used otherwise.
const unsized = 1

func (s *Scanned) add(f found, limit int64) error {
	s.All++
	s.Window = max(s.Window, f.window)
	if f.dsize > 0 {
		if f.dsize > maxSize-s.Known {
			return fmt.Errorf("frame at %d: decodes to more than %d bytes in all", f.off, int64(maxSize))
		}
		s.Known += f.dsize
	}
	if f.dsize < 0 {
		s.Sized = false
	}
	if s.large || f.dsize == 0 {
		return nil
	}
	g := frame{off: f.off, start: f.dsize, csize: uint32(min(f.csize, 1<<32-1))}
	if f.dsize < 0 {
		g.start, g.sum = -f.most, unsized
	}
	if err := s.Index.add(g, f.most, limit); err != nil {
		s.large, s.Index = true, &Index{}
		return nil
	}
	s.setZero(s.frames.n-1, f.zero)
	return nil
}

// Decode completes the index: it decodes the frames of unknown size, on all
// cores, until ctx is done.
func (s *Scanned) Decode(ctx context.Context, r io.ReaderAt, limit int64, progress Progress) error {
	var done, total int64
	for i := range s.frames.n {
		if f := s.frames.at(i); f.start < 0 {
			total += int64(f.csize)
		}
	}
	dec, err := newDecoder()
	if err != nil {
		return err
	}
	defer dec.Close()

	var (
		mu    sync.Mutex
		next  int
		first error
		wg    sync.WaitGroup
	)
	// take returns the next frame of unknown size, or nil.
	take := func() (int, *frame) {
		mu.Lock()
		defer mu.Unlock()
		for first == nil && next < s.frames.n {
			i := next
			next++
			if f := s.frames.at(i); f.start < 0 {
				return i, f
			}
		}
		return 0, nil
	}
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var m measurer
			for {
				i, f := take()
				if f == nil {
					return
				}
				p, err := m.decode(r, dec, f.off, int64(f.csize), -f.start)
				if err == nil && int64(len(p)) > limit {
					err = ErrFrames
				}
				zero := backstores.IsZero(p)
				mu.Lock()
				done += int64(f.csize)
				if err == nil {
					f.start = int64(len(p))
					s.setZero(i, zero)
					progress.report(done, total)
					err = ctx.Err()
				}
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	for i := range s.frames.n {
		if f := s.frames.at(i); f.sum == unsized {
			s.sizes = binary.AppendUvarint(s.sizes, uint64(f.start))
		}
	}
	s.Source, s.Sized = FromDecoding, true
	s.settle()
	return nil
}

// A measurer decodes frames to find their sizes. It reuses its buffers.
type measurer struct{ src, dst []byte }

// decode returns the decoded frame of csize bytes at off, which decodes to most
// bytes at most.
func (m *measurer) decode(r io.ReaderAt, dec *zstd.Decoder, off, csize, most int64) ([]byte, error) {
	if int64(cap(m.src)) < csize {
		m.src = make([]byte, csize)
	}
	m.src = m.src[:csize]
	if err := readFull(r, m.src, off); err != nil {
		return nil, err
	}
	if int64(cap(m.dst)) < most+decoded.Slack {
		m.dst = make([]byte, 0, most+decoded.Slack)
	}
	p, err := dec.DecodeAll(m.src, m.dst[:0])
	if err != nil {
		return nil, fmt.Errorf("frame at %d: %w", off, err)
	}
	return p, nil
}

// newDecoder returns a decoder for whole frames that never exceeds the capacity
// of the buffer. The window needs no limit, since it is the buffer.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(1<<42),
		zstd.WithDecoderMaxWindow(1<<41))
}
