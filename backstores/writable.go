package backstores

import (
	"golang.org/x/sys/unix"
)

// A writableRaw is a raw image with the means to change it.
type writableRaw struct {
	raw
	writes mover
	syncs  syncs
}

func (w *writableRaw) open(path string, fd int, size, block int64) {
	w.raw.open(path, fd, size, block)
	w.writes.fd, w.writes.one, w.writes.many, w.writes.now = fd, unix.Pwrite, pwritev2.wait, pwritev2.now
	w.writes.pace.expect(copyTime(fd))
}

func (w *writableRaw) WriteAt(p []byte, off int64) (int, error) {
	err := within(w.Size(), off, int64(len(p)))
	n := 0
	if err == nil {
		n, err = w.writes.at(p, off)
	}
	if err != nil {
		return n, w.failed("write", off, int64(len(p)), err)
	}
	return n, nil
}

func (w *writableRaw) WriteVec(bufs [][]byte, off int64, f Flag) error {
	n, size := length(bufs), w.Size()
	if off < 0 || n > size-off {
		return w.failed("write", off, n, within(size, off, n)) // the file must not grow
	}
	var err error
	switch {
	case f&Durable == 0:
		err = w.writes.move(bufs, off, n, f)
	case f&NoWait != 0:
		return ErrWouldBlock
	default:
		err = w.writeDurable(bufs, off)
	}
	if err != nil {
		return w.failed("write", off, n, err)
	}
	return nil
}

// writeDurable syncs the range written and no more: a journal's commit block
// does not wait for gigabytes of other dirty data. A vector that takes several
// calls is synced once, after the last.
func (w *writableRaw) writeDurable(bufs [][]byte, off int64) error {
	w.syncs.begin()
	var sync error = unix.EOPNOTSUPP
	if len(bufs) <= manyAtOnce {
		if sync = w.writes.run(bufs, off, unix.RWF_DSYNC, false); sync == nil {
			return w.syncs.end(nil)
		}
	}
	// Whether it was the write or the sync that failed (or that RWF_DSYNC is
	// not known here), writing without the sync tells.
	if err := w.writes.run(bufs, off, 0, false); err != nil {
		w.syncs.end(nil)
		return err
	}
	if sync == unix.EOPNOTSUPP {
		sync = fdatasync(w.fd)
	}
	return w.syncs.end(sync)
}

func (w *writableRaw) Flush() error {
	w.syncs.begin()
	if err := w.syncs.end(fdatasync(w.fd)); err != nil {
		return w.failed("flush", 0, w.Size(), err)
	}
	return nil
}

// Trim punches a hole. For a block device that means a discard after which the
// device itself promises zeros (BLKDEV_ZERO_NOFALLBACK in the kernel's
// blkdev_fallocate); BLKDISCARD makes no such promise. What the file system or
// device cannot punch is zeroed.
func (w *writableRaw) Trim(off, n int64) error {
	return w.clear("trim", off, n, unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE)
}

// Zero keeps the space: in a file the range becomes allocated and unwritten,
// on a block device the kernel has the device write zeros, or writes them
// (BLKDEV_ZERO_NOUNMAP). What cannot do either is written here.
func (w *writableRaw) Zero(off, n int64) error {
	return w.clear("zero", off, n, unix.FALLOC_FL_ZERO_RANGE)
}

// clear makes a range read as zeros in the first of these ways that works, or
// by writing. A file's edges within a page or block are the kernel's business;
// a device refuses what is not made of whole blocks, so its edges are written.
func (w *writableRaw) clear(what string, off, n int64, ways ...uint32) error {
	if err := within(w.Size(), off, n); err != nil {
		return w.failed(what, off, n, err)
	}
	end := off + n
	start := min((off+w.block-1)/w.block*w.block, end)
	stop := max(end/w.block*w.block, start)

	err := writeZeros(fdWriter(w.fd), off, start-off)
	if err == nil {
		err = w.allocate(start, stop-start, ways)
	}
	if err == nil {
		err = writeZeros(fdWriter(w.fd), stop, end-stop)
	}
	if err != nil {
		return w.failed(what, off, n, err)
	}
	return nil
}

func (w *writableRaw) allocate(off, n int64, ways []uint32) error {
	if n == 0 {
		return nil // which fallocate calls invalid
	}
	for _, way := range ways {
		for {
			err := unix.Fallocate(w.fd, way|unix.FALLOC_FL_KEEP_SIZE, off, n)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EOPNOTSUPP {
				break
			}
			return err
		}
	}
	return writeZeros(fdWriter(w.fd), off, n)
}
