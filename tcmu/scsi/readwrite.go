package scsi

import (
	"errors"

	"github.com/lunserve/lunserve/backstores"
)

// MaxTransfer is the most that one command moves, in bytes: 65536 blocks of 512,
// the longest transfer that test suites ask for.
const MaxTransfer = 32 << 20

const (
	optimalTransfer = 1 << 20 // bytes
	fua             = 0x08    // in the second byte of a CDB
)

// transfer returns what READ and WRITE have in common: where on the medium,
// and as many bytes of buffers.
func (d *Disk) transfer(r request) (bufs [][]byte, off, n int64, err error) {
	lba, blocks := r.blocks()
	if off, n, err = d.extent(lba, blocks); err != nil {
		return nil, 0, 0, err
	}
	if n > MaxTransfer {
		return nil, 0, 0, badField(r.lengthAt(), -1)
	}
	bufs, ok := r.first(int(n))
	if !ok {
		// The fabric moves fewer bytes than the CDB asks for. A read cannot
		// say so, and a write cannot be done.
		n = int64(r.room())
	}
	return bufs, off, n, nil
}

// read is SBC-4, READ (10) command, and its brothers.
func (d *Disk) read(r request) (int, error) {
	bufs, off, n, err := d.transfer(r)
	if err != nil || n == 0 {
		return 0, err
	}
	var flags backstores.Flag
	if !r.wait {
		flags = backstores.NoWait
	}
	if r.flag(fua) {
		// From the medium, and so what is written has to be there.
		if !r.wait {
			return 0, backstores.ErrWouldBlock
		}
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	if err := backstores.ReadVec(d.store, bufs, off, flags); err != nil {
		if !r.wait && n > int64(d.BlockSize) {
			return 0, backstores.ErrWouldBlock // to find the block
		}
		return 0, d.unread(off, n, err)
	}
	d.count.reads.Add(1)
	d.count.readBytes.Add(uint64(n))
	return int(n), nil
}

// write is SBC-4, WRITE (10) command, and its brothers.
func (d *Disk) write(r request) (int, error) {
	_, blocks := r.blocks()
	bufs, off, n, err := d.transfer(r)
	switch {
	case err != nil:
		return 0, err
	case blocks == 0:
		return r.unused()
	}
	if n != int64(blocks)*int64(d.BlockSize) {
		return 0, listTooShort
	}
	var flags backstores.Flag
	if !r.wait {
		flags = backstores.NoWait
	}
	if r.flag(fua) || d.mode.writeThrough.Load() {
		flags |= backstores.Durable
	}
	if err := backstores.WriteVec(d.store, bufs, off, flags); err != nil {
		return 0, d.unwritten(off, n, err)
	}
	if flags&backstores.Durable == 0 && d.mode.writeThrough.Load() {
		// The cache was turned off meanwhile, and what was written before flushed.
		if !r.wait {
			return 0, backstores.ErrWouldBlock
		}
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	d.count.writes.Add(1)
	d.count.writtenBytes.Add(uint64(n))
	return 0, nil
}

// unread is the error of a read of n bytes at off. Its INFORMATION is the first
// block that cannot be read, for which they are read again one by one, as the
// store does not name it.
func (d *Disk) unread(off, n int64, err error) error {
	size := int64(d.BlockSize)
	if n <= size || errors.Is(err, backstores.ErrWouldBlock) {
		return ioError(unrecoveredRead.at(uint64(off/size)), err)
	}
	block := [][]byte{make([]byte, size)}
	for end := off + n; off < end; off += size {
		if err := backstores.ReadVec(d.store, block, off, 0); err != nil {
			return ioError(unrecoveredRead.at(uint64(off/size)), err)
		}
	}
	return ioError(unrecoveredRead, err)
}

// unwritten is the error of a write of n bytes at off. It names the block if there
// is but one.
func (d *Disk) unwritten(off, n int64, err error) error {
	if size := int64(d.BlockSize); n <= size {
		return ioError(writeError.at(uint64(off/size)), err)
	}
	return ioError(writeError, err)
}

// flush makes what is written durable.
func (d *Disk) flush() error {
	if err := backstores.Flush(d.store); err != nil {
		return ioError(writeError, err)
	}
	return nil
}

// synchronizeCache is SBC-4, SYNCHRONIZE CACHE (10) command. It makes all
// blocks durable, whichever were asked for. With IMMED the status comes later
// than it could.
func (d *Disk) synchronizeCache(r request) (int, error) {
	if _, _, err := d.extent(r.blocks()); err != nil {
		return 0, err
	}
	if d.has&writable == 0 {
		return 0, nil
	}
	if err := d.flush(); err != nil {
		return 0, err
	}
	d.count.flushes.Add(1)
	return 0, nil
}
