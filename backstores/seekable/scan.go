package seekable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
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
// than limit bytes. It uses the seek table if there is one that matches the
// file. Otherwise it reads the headers of all frames, until ctx is done.
//
// If a header lacks the size the index is incomplete: Sized is false, and
// [Scanned.Decode] finds the other sizes. If a frame is larger than limit the
// error is [ErrFrames]; the index that comes with it has at most a total size.
func Scan(ctx context.Context, r io.ReaderAt, size, limit int64, progress Progress) (*Scanned, error) {
	limit = min(limit, 1<<31-1)
	x, err := readTable(r, size, limit)
	if err == nil {
		x.findZeros(r, size)
		return &Scanned{Index: x, Sized: true}, nil
	}
	if !errors.Is(err, errNoTable) && !errors.Is(err, ErrFrames) {
		return nil, err
	}
	s := &Scanned{Index: &Index{Source: FromHeaders}, Sized: true}
	w := walker{r: r, size: size}
	var large bool
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
		if err := s.add(f, limit); err == ErrFrames {
			large = true
		} else if err != nil {
			return nil, err
		}
	}
	if large {
		return s, ErrFrames
	}
	return s, nil
}

// A Scanned is the result of a scan.
type Scanned struct {
	*Index
	Sized  bool   // the index is complete
	All    int    // number of frames, including empty ones, if there is no table
	Window uint64 // the largest
	Known  int64  // total size of the frames whose header has it

	spans []span // from the first frame of unknown size on
	large bool   // a frame is larger than the limit
}

// A span is a frame that follows a frame of unknown size, or is one.
type span struct {
	off   int64
	csize uint32
	dsize int32 // decoded size or, if it is unknown, minus the largest possible
	zero  bool
}

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
	if s.large || f.most > limit || f.csize > maxEncoded(limit) {
		s.large, s.spans, s.Index = true, nil, &Index{}
		return ErrFrames
	}
	if s.Sized {
		n := len(s.frames)
		err := s.Index.add(f.off, f.csize, f.dsize, limit, 0)
		if err == nil && f.zero && len(s.frames) > n {
			s.markZero(n)
		}
		return err
	}
	if len(s.frames)+len(s.spans) == maxFrames {
		return fmt.Errorf("more than %d frames", maxFrames)
	}
	if f.dsize < 0 {
		f.dsize = -f.most
	}
	if f.dsize != 0 {
		s.spans = append(s.spans, span{f.off, uint32(f.csize), int32(f.dsize), f.zero})
	}
	return nil
}

// Decode completes the index: it decodes the frames of unknown size, on all
// cores, until ctx is done.
func (s *Scanned) Decode(ctx context.Context, r io.ReaderAt, limit int64, progress Progress) error {
	var done, total int64
	for _, f := range s.spans {
		total += int64(f.csize)
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
	for range min(runtime.GOMAXPROCS(0), len(s.spans)) {
		wg.Go(func() {
			var src, dst []byte
			for {
				mu.Lock()
				i := next
				next++
				stop := first != nil
				mu.Unlock()
				if stop || i >= len(s.spans) {
					return
				}
				f := &s.spans[i]
				var err error
				if f.dsize < 0 {
					src, dst, err = f.measure(r, dec, src, dst, limit)
				}
				mu.Lock()
				done += int64(f.csize)
				if err == nil {
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
	s.Source = FromDecoding
	for _, f := range s.spans {
		n := len(s.frames)
		if err := s.Index.add(f.off, int64(f.csize), int64(f.dsize), limit, 0); err != nil {
			return err
		}
		if f.zero && len(s.frames) > n {
			s.markZero(n)
		}
	}
	s.spans, s.Sized = nil, true
	return nil
}

// measure decodes a frame to find its size. It returns the buffers for reuse.
func (f *span) measure(r io.ReaderAt, dec *zstd.Decoder, src, dst []byte, limit int64) ([]byte, []byte, error) {
	if cap(src) < int(f.csize) {
		src = make([]byte, f.csize)
	}
	src = src[:f.csize]
	if err := readFull(r, src, f.off); err != nil {
		return src, dst, err
	}
	if most := int(-f.dsize); cap(dst) < most+slack {
		dst = make([]byte, 0, most+slack)
	}
	got, err := dec.DecodeAll(src, dst[:0])
	if err != nil {
		return src, dst, fmt.Errorf("frame at %d: %w", f.off, err)
	}
	if int64(len(got)) > limit {
		return src, dst, ErrFrames
	}
	f.dsize, f.zero = int32(len(got)), backstores.IsZero(got)
	return src, dst, nil
}

// slack is room after a frame. With it the decoder writes the last block without
// a bounds check at each step, which is a third faster for a frame of one block.
const slack = 16

// newDecoder returns a decoder for whole frames that never exceeds the capacity
// of the buffer. The window needs no limit, since it is the buffer.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(1<<42),
		zstd.WithDecoderMaxWindow(1<<41))
}
