package raw

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
)

// A Writable is a raw image that can be read and changed.
type Writable struct {
	File
	writes  vectorIO
	syncs   syncs
	isLocal bool         // see checkEnd
	created *entry.Entry // its name, if Open has created it
}

// open sets up w, which must not be copied afterwards.
func (w *Writable) open(path string, fd int, size, block int64) {
	w.File.open(path, fd, size, block)
	w.writes.fd, w.writes.one, w.writes.many, w.writes.now = fd, unix.Pwrite, pwritev2.wait, pwritev2.now
	w.writes.pace.expect(copyTime(fd))
	w.isLocal = isLocal(fd)
}

// Discard removes the file if Open has created it, and the name is still its
// own. The image stays open.
func (w *Writable) Discard() error {
	if w.created == nil {
		return nil
	}
	return w.created.Remove(w.fd)
}

// Close closes the image, which also releases its locks.
func (w *Writable) Close() error {
	err := w.File.Close()
	if w.created != nil && !errors.Is(err, fs.ErrClosed) {
		w.created.Close()
	}
	return err
}

// WriteAt implements [io.WriterAt]. It never makes the image longer.
func (w *Writable) WriteAt(p []byte, off int64) (int, error) {
	err := backstores.CheckRange(w.Size(), off, int64(len(p)))
	if err == nil {
		err = w.checkEnd(off+int64(len(p)), 0)
	}
	n := 0
	if err == nil {
		n, err = w.writes.at(p, off)
	}
	if err != nil {
		return n, w.failed("write", off, int64(len(p)), err)
	}
	return n, nil
}

// WriteVec implements [backstores.VectorWriter].
func (w *Writable) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	n, size := backstores.Length(bufs), w.Size()
	if off < 0 || n > size-off {
		return w.failed("write", off, n, backstores.CheckRange(size, off, n)) // must not make the file longer
	}
	if f == backstores.Durable|backstores.NoWait {
		return backstores.ErrWouldBlock
	}
	err := w.checkEnd(off+n, f)
	switch {
	case err != nil:
	case f&backstores.Durable == 0:
		err = w.writes.move(bufs, off, n, f)
	default:
		err = w.writeDurable(bufs, off)
	}
	if err != nil {
		return w.failed("write", off, n, err)
	}
	return nil
}

// writeDurable writes and syncs this range alone, so that the commit block of a
// journal does not wait for gigabytes of other dirty data. A vector that needs
// several calls is synced once, after the last. It only waits for a flush that runs
// beside it, since either may get the error of the other, see syncs.
func (w *Writable) writeDurable(bufs [][]byte, off int64) error {
	failures := w.syncs.begin()
	var sync error = unix.EOPNOTSUPP
	if len(bufs) <= maxVector {
		if sync = w.writes.run(bufs, off, unix.RWF_DSYNC, false); sync == nil {
			return w.syncs.end(failures, nil, false)
		}
	}
	// Did the write fail, or the sync, or is RWF_DSYNC unknown? Write again
	// without the sync to find out.
	if err := w.writes.run(bufs, off, 0, false); err != nil {
		w.syncs.end(failures, nil, false)
		return err
	}
	if sync == unix.EOPNOTSUPP {
		sync = fdatasync(w.fd)
	}
	return w.syncs.end(failures, sync, false)
}

// Flush implements [backstores.Flusher].
func (w *Writable) Flush() error {
	failures := w.syncs.begin()
	if err := w.syncs.end(failures, fdatasync(w.fd), true); err != nil {
		return fmt.Errorf("%s: flush: %w: what was written since the last flush may be lost, so check the file systems on the disk", w.path, err)
	}
	return nil
}

// Owes returns the failure of a durable write that the next Flush returns as well,
// or nil. The kernel has forgotten it: only this store knows.
func (w *Writable) Owes() error { return w.syncs.debt() }

// Trim implements [backstores.Trimmer] by punching a hole. On a block device
// that is a discard after which the device guarantees zeros
// (BLKDEV_ZERO_NOFALLBACK in the kernel's blkdev_fallocate); BLKDISCARD gives no
// such guarantee. If the file system or device cannot punch, Trim zeroes.
func (w *Writable) Trim(off, n int64) error {
	return w.clear("trim", off, n, unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE)
}

// Zero implements [backstores.Zeroer]. In a file the range becomes allocated and
// unwritten. On a block device the kernel has the device write zeros, or writes
// them itself (BLKDEV_ZERO_NOUNMAP). If neither works, Zero writes them.
func (w *Writable) Zero(off, n int64) error {
	return w.clear("zero", off, n, unix.FALLOC_FL_ZERO_RANGE)
}

// clear makes a range read as zeros by the first fallocate mode that is
// supported, or by writing. In a file the kernel handles partial pages and
// blocks. A device refuses a range that is not aligned to its blocks, so clear
// writes the partial blocks at both ends.
func (w *Writable) clear(what string, off, n int64, modes ...uint32) error {
	err := backstores.CheckRange(w.Size(), off, n)
	if err == nil {
		err = w.checkEnd(off+n, 0)
	}
	if err != nil {
		return w.failed(what, off, n, err)
	}
	end := off + n
	start := min((off+w.block-1)/w.block*w.block, end)
	stop := max(end/w.block*w.block, start)

	err = backstores.WriteZeros(fdWriter(w.fd), off, start-off)
	if err == nil {
		err = w.allocate(start, stop-start, modes)
	}
	if err == nil {
		err = backstores.WriteZeros(fdWriter(w.fd), stop, end-stop)
	}
	if err != nil {
		return w.failed(what, off, n, err)
	}
	return nil
}

func (w *Writable) allocate(off, n int64, modes []uint32) error {
	if n == 0 {
		return nil // EINVAL for fallocate
	}
	for _, mode := range modes {
		for {
			err := unix.Fallocate(w.fd, mode|unix.FALLOC_FL_KEEP_SIZE, off, n)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EOPNOTSUPP {
				break
			}
			return err
		}
	}
	return backstores.WriteZeros(fdWriter(w.fd), off, n)
}
