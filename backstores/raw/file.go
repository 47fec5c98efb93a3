// Package raw keeps the bytes of a disk in a file or block device, one to one.
//
// It opens and locks images, moves vectors between them and memory, remembers
// failed syncs, and makes files that appear when they are complete. Package
// image imports it; it knows no format but the raw one, and never follows an
// overlay to its base.
package raw

import (
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
)

// A File is a raw image that is open for reading. The type has no method that
// changes the image; [Writable] adds those.
type File struct {
	path   string
	fd     int
	size   atomic.Int64
	block  int64 // the alignment that fallocate needs: 1, or the block size of a device
	reads  vectorIO
	closed atomic.Bool
}

// open sets up f, which must not be copied afterwards.
func (f *File) open(path string, fd int, size, block int64) {
	f.path, f.fd, f.block = path, fd, block
	f.size.Store(size)
	f.reads.fd, f.reads.one, f.reads.many, f.reads.now = fd, unix.Pread, preadv2.wait, preadv2.now
	f.reads.pace.expect(copyTime(fd))
}

// Size implements [backstores.Backstore].
func (f *File) Size() int64 { return f.size.Load() }

// IsDevice reports whether the image is a block device.
func (f *File) IsDevice() bool { return f.block > 1 }

// Fd returns the file descriptor, which stays the image's.
func (f *File) Fd() int { return f.fd }

// ID returns the identity of the file or device.
func (f *File) ID() (entry.ID, error) { return entry.Of(f.fd) }

// Close closes the image, which also releases its locks.
func (f *File) Close() error {
	if f.closed.Swap(true) {
		return fmt.Errorf("%s: close: %w", f.path, fs.ErrClosed)
	}
	if err := unix.Close(f.fd); err != nil {
		return fmt.Errorf("%s: close: %w", f.path, err)
	}
	return nil
}

// ReadAt implements [io.ReaderAt].
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	size := f.Size()
	if off < 0 {
		return 0, f.failed("read", off, int64(len(p)), backstores.CheckRange(size, off, 0))
	}
	inside := p[:min(int64(len(p)), max(size-off, 0))]
	if n, err := f.reads.at(inside, off); err != nil {
		return n, f.failed("read", off, int64(len(p)), err)
	}
	if len(inside) < len(p) {
		return len(inside), io.EOF
	}
	return len(p), nil
}

// ReadVec implements [backstores.VectorReader].
func (f *File) ReadVec(bufs [][]byte, off int64, flag backstores.Flag) error {
	n, size := backstores.Length(bufs), f.Size()
	if off < 0 || n > size-off {
		return f.failed("read", off, n, backstores.CheckRange(size, off, n))
	}
	if err := f.reads.move(bufs, off, n, flag); err != nil {
		return f.failed("read", off, n, err)
	}
	return nil
}

// Extent implements [backstores.Extenter] by SEEK_DATA and SEEK_HOLE. On a file
// system without them everything is data. A preallocated range that was never
// written may be reported as a hole, since it reads as zeros. lseek moves the
// file's position, which nothing uses.
func (f *File) Extent(off int64) (int64, bool, error) {
	size := f.Size()
	if err := backstores.CheckRange(size, off, 1); err != nil {
		return 0, false, f.failed("extent", off, 1, err)
	}
	for {
		data, err := unix.Seek(f.fd, off, unix.SEEK_DATA)
		switch {
		case err == unix.ENXIO: // no data up to the end
			if end, err := unix.Seek(f.fd, 0, unix.SEEK_END); err != nil || end < size {
				return 0, false, f.failed("extent", off, 1, io.ErrUnexpectedEOF)
			}
			return size - off, false, nil
		case err == unix.EINVAL || err == unix.EOPNOTSUPP:
			return size - off, true, nil
		case err != nil:
			return 0, false, f.failed("extent", off, 1, err)
		case data > off:
			return min(data, size) - off, false, nil
		}
		hole, err := unix.Seek(f.fd, off, unix.SEEK_HOLE)
		if err != nil {
			return 0, false, f.failed("extent", off, 1, err)
		}
		if hole > off {
			return min(hole, size) - off, true, nil
		}
		// The data was trimmed between the two calls. Start over.
	}
}

// failed adds the path and the operation to err, except to ErrWouldBlock.
func (f *File) failed(what string, off, n int64, err error) error {
	switch err {
	case backstores.ErrWouldBlock:
		return err
	case io.ErrUnexpectedEOF:
		// Zeros in place of the lost bytes would hide the loss.
		return fmt.Errorf("%s: %s %d bytes at %d: the image has shrunk: %w", f.path, what, n, off, err)
	}
	return fmt.Errorf("%s: %s %d bytes at %d: %w", f.path, what, n, off, err)
}
