package scsi

import "github.com/lunserve/lunserve/backstores"

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
	lba, _ := r.blocks()
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
		return 0, ioError(unrecoveredRead.at(lba), err)
	}
	d.count.reads.Add(1)
	d.count.readBytes.Add(uint64(n))
	return int(n), nil
}

// write is SBC-4, WRITE (10) command, and its brothers.
func (d *Disk) write(r request) (int, error) {
	lba, blocks := r.blocks()
	bufs, off, n, err := d.transfer(r)
	if err != nil || n == 0 && blocks == 0 {
		return 0, err
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
		return 0, ioError(writeError.at(lba), err)
	}
	d.count.writes.Add(1)
	d.count.writtenBytes.Add(uint64(n))
	return 0, nil
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
