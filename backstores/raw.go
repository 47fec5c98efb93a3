package backstores

import (
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A raw image is a file or block device that holds the bytes of the disk and
// nothing else. This type has no means to change it; [writableRaw] adds them.
type raw struct {
	path   string
	fd     int
	size   atomic.Int64
	block  int64 // what fallocate must be aligned to: 1, or the block size of a device
	reads  mover
	closed atomic.Bool
}

// open makes r the image in an open file. A raw holds what must not be copied.
func (r *raw) open(path string, fd int, size, block int64) {
	r.path, r.fd, r.block = path, fd, block
	r.size.Store(size)
	r.reads.fd, r.reads.one, r.reads.many, r.reads.now = fd, unix.Pread, preadv2.wait, preadv2.now
	r.reads.pace.expect(copyTime(fd))
}

func (r *raw) Size() int64 { return r.size.Load() }

// Close releases the image's locks along with the file.
func (r *raw) Close() error {
	if r.closed.Swap(true) {
		return fmt.Errorf("%s: close: %w", r.path, fs.ErrClosed)
	}
	if err := unix.Close(r.fd); err != nil {
		return fmt.Errorf("%s: close: %w", r.path, err)
	}
	return nil
}

func (r *raw) ReadAt(p []byte, off int64) (int, error) {
	size := r.Size()
	if off < 0 {
		return 0, r.failed("read", off, int64(len(p)), within(size, off, 0))
	}
	there := p[:min(int64(len(p)), max(size-off, 0))]
	if n, err := r.reads.at(there, off); err != nil {
		return n, r.failed("read", off, int64(len(p)), err)
	}
	if len(there) < len(p) {
		return len(there), io.EOF
	}
	return len(p), nil
}

func (r *raw) ReadVec(bufs [][]byte, off int64, f Flag) error {
	n, size := length(bufs), r.Size()
	if off < 0 || n > size-off {
		return r.failed("read", off, n, within(size, off, n))
	}
	if err := r.reads.move(bufs, off, n, f); err != nil {
		return r.failed("read", off, n, err)
	}
	return nil
}

// Extent asks the file system. Where that does not know holes, all is data; a
// preallocated range that was never written may count as a hole, as it reads
// as zeros. The file's position, which lseek moves, is used by nobody.
func (r *raw) Extent(off int64) (int64, bool, error) {
	size := r.Size()
	if err := within(size, off, 1); err != nil {
		return 0, false, r.failed("extent", off, 1, err)
	}
	for {
		data, err := unix.Seek(r.fd, off, unix.SEEK_DATA)
		switch {
		case err == unix.ENXIO: // no data from here on
			if end, err := unix.Seek(r.fd, 0, unix.SEEK_END); err != nil || end < size {
				return 0, false, r.failed("extent", off, 1, io.ErrUnexpectedEOF)
			}
			return size - off, false, nil
		case err == unix.EINVAL || err == unix.EOPNOTSUPP:
			return size - off, true, nil
		case err != nil:
			return 0, false, r.failed("extent", off, 1, err)
		case data > off:
			return min(data, size) - off, false, nil
		}
		hole, err := unix.Seek(r.fd, off, unix.SEEK_HOLE)
		if err != nil {
			return 0, false, r.failed("extent", off, 1, err)
		}
		if hole > off {
			return min(hole, size) - off, true, nil
		}
		// The data was trimmed between the two questions. Ask again.
	}
}

// failed adds to err what was being done, except to [ErrWouldBlock].
func (r *raw) failed(what string, off, n int64, err error) error {
	switch err {
	case ErrWouldBlock:
		return err
	case io.ErrUnexpectedEOF:
		// Others would give zeros here, and nobody would know of the loss.
		return fmt.Errorf("%s: %s %d bytes at %d: the image has shrunk: %w", r.path, what, n, off, err)
	}
	return fmt.Errorf("%s: %s %d bytes at %d: %w", r.path, what, n, off, err)
}

func length(bufs [][]byte) int64 {
	var n int64
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

// RawFormat tells a file with holes, [Sparse], from one without, [Raw]. It is
// empty for devices, and for what is not the bytes of a disk as they are.
func RawFormat(b Backstore) string {
	var r *raw
	switch b := b.(type) {
	case *raw:
		r = b
	case *writableRaw:
		r = &b.raw
	}
	if r == nil || r.block > 1 {
		return ""
	}
	if n, data, err := r.Extent(0); err == nil && data && n == r.Size() {
		return Raw
	}
	return Sparse
}
