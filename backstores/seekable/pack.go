package seekable

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
)

// The limits of [PackOptions].FrameSize.
const (
	MinFrame = 4 << 10
	MaxFrame = 64 << 20
)

// PackOptions say how to pack a file.
type PackOptions struct {
	Level     zstd.EncoderLevel
	FrameSize int64 // before compression, from MinFrame to MaxFrame
	Progress  Progress

	// Hole, if not nil, reports whether the n bytes at off are a hole, which is
	// not read.
	Hole func(off int64) (n int64, hole bool, err error)
}

// Packed counts what was written.
type Packed struct {
	Written int64
	Frames  int64
	Zeros   int64 // frames of zeros among them
}

// A FrameCountError is the error of a FrameSize that makes too many frames.
type FrameCountError struct {
	Size, FrameSize int64
	Least           int64 // the smallest FrameSize that works
}

// Error implements error.
func (e *FrameCountError) Error() string {
	return fmt.Sprintf("frames of %d bytes: %d bytes would be more than %d of them", e.FrameSize, e.Size, MaxFrameCount)
}

// Pack compresses the size bytes of r to w, in frames and with a seek table, on
// all cores, until ctx is done. It needs memory for a few frames for each core.
//
// Each frame contains its size and a checksum. A frame of zeros takes a few
// bytes.
func Pack(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, o PackOptions) (Packed, error) {
	if o.FrameSize < MinFrame || o.FrameSize > MaxFrame {
		return Packed{}, fmt.Errorf("frames of %d bytes: must be of %d to %d", o.FrameSize, MinFrame, MaxFrame)
	}
	if (size+o.FrameSize-1)/o.FrameSize > MaxFrameCount {
		const unit = 4 << 10 // frames of whole blocks
		least := (size + MaxFrameCount*unit - 1) / (MaxFrameCount * unit) * unit
		return Packed{}, &FrameCountError{size, o.FrameSize, least}
	}
	p := packer{ctx: ctx, w: w, r: r, size: size, PackOptions: o}
	cores := runtime.GOMAXPROCS(0)
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(o.Level),
		zstd.WithEncoderConcurrency(cores),
		zstd.WithEncoderCRC(true),
		zstd.WithSingleSegment(true),
		zstd.WithZeroFrames(true),
		zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(window(o.FrameSize)))
	if err != nil {
		return Packed{}, err
	}
	defer enc.Close()
	p.enc = enc
	if size > 0 {
		p.zeros = appendZeroFrame(nil, o.FrameSize)
	}

	// Each job goes to the next free worker, and in order to the writer. The
	// number of jobs is fixed.
	jobs := make(chan *job, 4*cores)
	for range cap(jobs) {
		jobs <- &job{done: make(chan struct{}, 1)}
	}
	work := make(chan *job, cap(jobs))
	order := make(chan *job, cap(jobs))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range cores {
		wg.Go(func() {
			in := make([]byte, min(o.FrameSize, size)) // reused while it is in the CPU cache
			for j := range work {
				p.pack(j, in)
				j.done <- struct{}{}
			}
		})
	}
	wg.Go(func() {
		defer close(order)
		defer close(work)
		for off := int64(0); off < size; off += o.FrameSize {
			select {
			case j := <-jobs:
				j.off, j.n = off, min(o.FrameSize, size-off)
				work <- j
				order <- j
			case <-stop:
				return
			}
		}
	})
	for j := range order {
		<-j.done
		if err == nil {
			if err = p.write(j); err != nil {
				close(stop)
			}
		}
		jobs <- j
	}
	wg.Wait()
	if err != nil {
		return p.Packed, err
	}
	return p.Packed, p.end()
}

// window returns the window size that covers a frame of n bytes.
func window(n int64) int {
	w := int64(zstd.MinWindowSize)
	for w < n && w < 8<<20 {
		w *= 2
	}
	return int(w)
}

type packer struct {
	PackOptions
	Packed
	ctx   context.Context
	w     io.Writer
	r     io.ReaderAt
	size  int64
	enc   *zstd.Encoder
	table table
	zeros []byte // a full frame of zeros, encoded
}

// A job is one frame.
type job struct {
	off, n int64
	out    []byte
	sum    uint32
	zero   bool
	err    error
	done   chan struct{}
}

// pack reads one frame into in, which has room for it, and encodes it.
func (p *packer) pack(j *job, in []byte) {
	j.out, j.err, j.zero = j.out[:0], nil, false
	hole, err := p.inHole(j.off, j.n)
	if err != nil {
		j.err = err
		return
	}
	in = in[:j.n]
	if !hole {
		if j.err = readFull(p.r, in, j.off); j.err != nil {
			return
		}
	}
	if hole || backstores.IsZero(in) {
		j.zero = true
		if j.n == p.FrameSize {
			j.out = append(j.out, p.zeros...)
		} else {
			j.out = appendZeroFrame(j.out, j.n)
		}
	} else {
		j.out = p.enc.EncodeAll(in, j.out)
	}
	// The seek table has the same checksum as the frame.
	j.sum = binary.LittleEndian.Uint32(j.out[len(j.out)-4:])
}

func (p *packer) inHole(off, n int64) (bool, error) {
	for p.Hole != nil {
		k, hole, err := p.Hole(off)
		if err != nil || !hole {
			return false, err
		}
		if k >= n {
			return true, nil
		}
		if k <= 0 {
			return false, errors.New("a hole is empty")
		}
		off, n = off+k, n-k
	}
	return false, nil
}

// write appends a frame to the output.
func (p *packer) write(j *job) error {
	if j.err != nil {
		return j.err
	}
	if _, err := p.w.Write(j.out); err != nil {
		return err
	}
	p.table.add(uint32(len(j.out)), uint32(j.n), j.sum)
	p.Written += int64(len(j.out))
	p.Frames++
	if j.zero {
		p.Zeros++
	}
	p.Progress.report(j.off+j.n, p.size)
	return p.ctx.Err()
}

// end appends the seek table.
func (p *packer) end() error {
	b := p.table.bytes()
	p.Written += int64(len(b))
	_, err := p.w.Write(b)
	return err
}

// appendZeroFrame appends a frame that decodes to n zeros: a header, RLE blocks
// and a checksum (RFC 8878 §3.1.1).
func appendZeroFrame(b []byte, n int64) []byte {
	const (
		size4, size8  = 2 << 6, 3 << 6 // Frame_Content_Size_flag
		singleSegment = 1 << 5
		checksum      = 1 << 2
	)
	b = binary.LittleEndian.AppendUint32(b, 0xFD2FB528)
	if n < 1<<32 {
		b = append(b, size4|singleSegment|checksum)
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	} else {
		b = append(b, size8|singleSegment|checksum)
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for rest := n; rest > 0; {
		k := min(rest, maxBlock)
		rest -= k
		v := uint32(k)<<3 | rleBlock<<1
		if rest == 0 {
			v |= 1
		}
		b = append(b, byte(v), byte(v>>8), byte(v>>16), 0)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(xxh64(make([]byte, n))))
}
