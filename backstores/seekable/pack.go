package seekable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The sizes of frames that Pack makes.
const (
	MinFrame = 4 << 10
	MaxFrame = 64 << 20
)

// PackOptions say how a file is packed.
type PackOptions struct {
	Level     zstd.EncoderLevel
	FrameSize int64 // of what is packed, from MinFrame to MaxFrame
	Progress  Progress

	// Hole, if not nil, tells of what starts at off: n bytes that are a hole,
	// and need not be read, or are not.
	Hole func(off int64) (n int64, hole bool, err error)
}

// Packed tells what was written.
type Packed struct {
	Written int64
	Frames  int64
	Zeros   int64 // frames of zeros among them
}

// Pack writes the size bytes of r to w, in frames and with a seek table, on all
// cores. Memory is a few frames for each core.
//
// Each frame has its size and checksum in it. One of zeros is a few bytes, and
// where r has a hole it is not read.
func Pack(w io.Writer, r io.ReaderAt, size int64, o PackOptions) (Packed, error) {
	if o.FrameSize < MinFrame || o.FrameSize > MaxFrame {
		return Packed{}, fmt.Errorf("frames of %d bytes: must be of %d to %d", o.FrameSize, MinFrame, MaxFrame)
	}
	if (size+o.FrameSize-1)/o.FrameSize > maxFrames {
		const unit = 4 << 10 // frames of whole blocks
		least := (size + maxFrames*unit - 1) / (maxFrames * unit) * unit
		return Packed{}, fmt.Errorf("frames of %d bytes: %d bytes would be more than %d of them; try --frame-size %dK",
			o.FrameSize, size, maxFrames, least>>10)
	}
	p := packer{w: w, r: r, size: size, PackOptions: o}
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

	// Jobs go to whoever is free, and to the writer in their order. There are
	// so many and no more.
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
			in := make([]byte, min(o.FrameSize, size)) // used again at once, while a cache has it
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

// window is what the encoder needs to see all of a frame.
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
	w     io.Writer
	r     io.ReaderAt
	size  int64
	enc   *zstd.Encoder
	table table
	zeros []byte // a whole frame of them, encoded
}

// A job is a frame on its way.
type job struct {
	off, n int64
	out    []byte
	sum    uint32
	zero   bool
	err    error
	done   chan struct{}
}

// pack reads one frame into a buffer, which has room for it, and encodes it.
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
	if hole || IsZero(in) {
		j.zero = true
		if j.n == p.FrameSize {
			j.out = append(j.out, p.zeros...)
		} else {
			j.out = appendZeroFrame(j.out, j.n)
		}
	} else {
		j.out = p.enc.EncodeAll(in, j.out)
	}
	// The checksum of a frame and that of the table are the same.
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
			return false, errors.New("a hole of no bytes")
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
	return p.Progress.tell(j.off+j.n, p.size)
}

// end appends the seek table.
func (p *packer) end() error {
	b := p.table.bytes()
	p.Written += int64(len(b))
	_, err := p.w.Write(b)
	return err
}

// appendZeroFrame appends a frame that decodes to n zeros: a header, blocks
// that say "n times this byte", and a checksum (RFC 8878 §3.1.1).
func appendZeroFrame(b []byte, n int64) []byte {
	const (
		size4, size8  = 2 << 6, 3 << 6 // bytes of Frame_Content_Size
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
