package image

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/lunserve/lunserve/backstores"
)

// Unpack writes the disk in the image at path to w, except for its zeros, and
// returns its size. If w is a [raw.Output] and cannot hold what is known to be
// data, Unpack writes nothing. It decompresses on all cores if the format allows that. If
// it fails, it does not write to w after it has returned.
func Unpack(ctx context.Context, path string, w io.WriterAt, o Options) (int64, error) {
	return await(ctx, Name(path), func() (int64, error) {
		n, err := unpack(ctx, path, ctxWriter{ctx, w}, o.withDefaults())
		return n, missing(path, err, false)
	}, func(int64) {})
}

// A ctxWriter writes to w until ctx is done. A job that storage has held up does
// not write to a file that its caller has closed since.
type ctxWriter struct {
	ctx context.Context
	w   io.WriterAt
}

func (c ctxWriter) WriteAt(p []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.WriteAt(p, off)
}

func unpack(ctx context.Context, path string, w io.WriterAt, o Options) (int64, error) {
	o.brief = true
	o.nested = true // the file in it is what is asked for
	i, err := inspect(ctx, path, o)
	if err != nil {
		return 0, err
	}
	s := i.store
	if s == nil && i.Format == Zstd {
		file, _, err := openSource(ctx, path, o)
		if err != nil {
			return 0, err
		}
		f, err := scanZstd(ctx, file, o)
		if err != nil {
			return 0, err
		}
		if f.large != nil || i.Frames == 1 {
			defer f.Close()
			return f.unpack(ctx, w, o) // without a temporary file
		}
		if s, err = f.open(ctx, o); err != nil {
			return 0, err
		}
	}
	if s == nil {
		if s, err = open(ctx, path, o); err != nil { // it lacks its backing file
			return 0, err
		}
	}
	defer s.Close()
	what := Name(path) + ": unpacking"
	n, err := leastData(ctx, s)
	if err == nil {
		err = reserve(w, n)
	}
	if err != nil && err != ctx.Err() {
		err = fmt.Errorf("%s: %w", what, err)
	}
	if err != nil {
		return 0, named(ctx, what, err)
	}
	if g, ok := s.(*simg); ok && len(g.sums) > 0 {
		return s.Size(), named(ctx, what, g.unpack(ctx, path, w, o.progress(what)))
	}
	err = copyOut(ctx, w, s, max(1<<20, i.FrameSize, i.ClusterSize), o.progress(what))
	return s.Size(), named(ctx, what, err)
}

// copyOut copies s to w on all cores, in chunks of this many bytes.
func copyOut(ctx context.Context, w io.WriterAt, s backstores.Backstore, chunk int64, progress func(done, total int64)) error {
	var (
		mu    sync.Mutex
		next  int64
		done  int64
		first error
		wg    sync.WaitGroup
	)
	size := s.Size()
	// take returns the next chunk that is not a hole.
	take := func() (off, n int64) {
		mu.Lock()
		defer mu.Unlock()
		for first == nil && next < size {
			if first = ctx.Err(); first != nil {
				break
			}
			off, n = next, min(chunk, size-next)
			next += n
			hole, err := inHole(s, off, n)
			if err != nil {
				first = err
				break
			}
			if !hole {
				return off, n
			}
			done += n
		}
		return 0, 0
	}
	for range min(int64(runtime.GOMAXPROCS(0)), size/chunk+1) {
		wg.Go(func() {
			buf := make([]byte, chunk)
			for {
				off, n := take()
				if n == 0 {
					return
				}
				err := backstores.ReadVec(s, [][]byte{buf[:n]}, off, 0)
				if err == nil {
					err = ctx.Err()
				}
				if err == nil {
					err = writeSparse(w, buf[:n], off)
				}
				mu.Lock()
				done += n
				if err == nil {
					progress(done, size)
				}
				if first == nil {
					first = err // the others have the same cause
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return first
}

// inHole reports whether all of the n bytes at off are holes.
func inHole(s backstores.Backstore, off, n int64) (bool, error) {
	for n > 0 {
		k, data, err := backstores.Extent(s, off)
		if err != nil || data {
			return false, err
		}
		if k <= 0 {
			return false, fmt.Errorf("extent of %d bytes at %d", k, off)
		}
		off, n = off+k, n-k
	}
	return true, nil
}

// writeSparse writes p to off, except for blocks of zeros.
func writeSparse(w io.WriterAt, p []byte, off int64) error {
	for len(p) > 0 {
		data := 0
		for data < len(p) && !backstores.IsZero(p[data:min(data+sparseBlock, len(p))]) {
			data = min(data+sparseBlock, len(p))
		}
		if data > 0 {
			if _, err := w.WriteAt(p[:data], off); err != nil {
				return err
			}
			p, off = p[data:], off+int64(data)
			continue
		}
		n := min(sparseBlock, len(p))
		p, off = p[n:], off+int64(n)
	}
	return nil
}

const sparseBlock = 4096
