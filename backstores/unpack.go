package backstores

import (
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/lunserve/lunserve/backstores/seekable"
)

// Unpack writes the disk in the image at path to w, except for its zeros, and
// returns its size. It decompresses on all cores where the format lets it.
func Unpack(path string, w io.WriterAt, o Options) (int64, error) {
	o = o.withDefaults()
	facts, s, err := Inspect(path, o)
	if err != nil {
		return 0, err
	}
	if s == nil && facts.Format == Zstd {
		f, err := scanZstd(path, o)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		if f.large != nil || facts.Frames == 1 {
			return f.unpack(w, o) // not by way of a temporary file
		}
	}
	if s == nil {
		if s, err = Open(path, o); err != nil {
			return 0, err
		}
	}
	defer s.Close()
	return s.Size(), copyOut(w, s, max(1<<20, facts.FrameSize), o.progress(path+": unpacking"))
}

// copyOut copies s to w on all cores, in pieces of so many bytes.
func copyOut(w io.WriterAt, s Backstore, piece int64, progress func(done, total int64) error) error {
	var (
		mu    sync.Mutex
		next  int64
		done  int64
		fails error
		wg    sync.WaitGroup
	)
	size := s.Size()
	// take returns the next piece that is not all hole.
	take := func() (off, n int64) {
		mu.Lock()
		defer mu.Unlock()
		for fails == nil && next < size {
			off, n = next, min(piece, size-next)
			next += n
			hole, err := inHole(s, off, n)
			if err != nil {
				fails = err
				break
			}
			if !hole {
				return off, n
			}
			done += n
		}
		return 0, 0
	}
	for range min(int64(runtime.GOMAXPROCS(0)), size/piece+1) {
		wg.Go(func() {
			buf := make([]byte, piece)
			for {
				off, n := take()
				if n == 0 {
					return
				}
				err := ReadVec(s, [][]byte{buf[:n]}, off, 0)
				if err == nil {
					err = writeSparse(w, buf[:n], off)
				}
				mu.Lock()
				done += n
				if err == nil && progress != nil {
					err = progress(done, size)
				}
				if fails == nil {
					fails = err // the others' are of the same cause
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return fails
}

// inHole tells whether all of n bytes at off are holes.
func inHole(s Backstore, off, n int64) (bool, error) {
	for n > 0 {
		k, data, err := Extent(s, off)
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
		for data < len(p) && !seekable.IsZero(p[data:min(data+sparseBlock, len(p))]) {
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
