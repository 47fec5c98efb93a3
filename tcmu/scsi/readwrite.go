package scsi

import (
	"github.com/lunserve/lunserve/backstores"
)

// MaxTransfer is the maximum transfer length of a command in bytes: 65536 blocks
// of 512 bytes, the most that test suites ask for.
const MaxTransfer = 32 << 20

const (
	optimalTransfer = 1 << 20 // bytes
	fua             = 0x08    // in the second byte of a CDB
)

// transfer returns the buffers of a READ or WRITE and the range of the medium.
func (d *Disk) transfer(r request) (bufs [][]byte, off, n int64, err error) {
	lba, blocks := r.blocks()
	if off, n, err = d.extent(lba, blocks); err != nil {
		return nil, 0, 0, err
	}
	if n > MaxTransfer {
		return nil, 0, 0, badField(r.lengthOffset(), -1)
	}
	bufs, ok := r.first(int(n))
	if !ok {
		// The fabric transfers fewer bytes than the CDB asks for: a read
		// returns fewer, and a write fails. With a nexus, which reports that, a
		// write writes whole blocks.
		n = int64(r.room())
		if r.nexus != nil {
			bufs, n = r.wholeBlocks(d.BlockSize)
		}
	}
	return bufs, off, n, nil
}

// read is SBC-4, READ (6), (10), (12) and (16) command.
func (d *Disk) read(r request) (int, error) {
	if r.nexus != nil {
		r.data = r.padded(d.BlockSize)
	}
	bufs, off, n, err := d.transfer(r)
	if err != nil || n == 0 {
		return d.asked(r, 0), err
	}
	var flags backstores.Flag
	if !r.wait {
		flags = backstores.NoWait
	}
	if r.flag(fua) {
		// FUA reads from the medium, so earlier writes must be there.
		if !r.wait {
			return 0, backstores.ErrWouldBlock
		}
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	if err := backstores.ReadVec(d.store, bufs, off, flags); err != nil {
		if !r.wait && n > int64(d.BlockSize) {
			return 0, backstores.ErrWouldBlock // readError reads again, and may wait
		}
		return d.readBefore(bufs, off, d.readError(off, n, err))
	}
	d.count.reads.Add(1)
	d.count.readBytes.Add(uint64(n))
	return d.asked(r, int(n)), nil
}

// asked returns how many bytes a READ returns or, for a nexus, would return if the
// initiator expected as many.
func (d *Disk) asked(r request, n int) int {
	if r.nexus != nil {
		_, blocks := r.blocks()
		return int(blocks) * d.BlockSize
	}
	return n
}

// write is SBC-4, WRITE (6), (10), (12) and (16) command.
func (d *Disk) write(r request) (int, error) {
	_, blocks := r.blocks()
	bufs, off, n, err := d.transfer(r)
	switch {
	case err != nil:
		return 0, err
	case blocks == 0:
		return r.ignoreDataOut()
	}
	if n != int64(blocks)*int64(d.BlockSize) && r.nexus == nil {
		return 0, dataOutTooShort
	}
	if n == 0 {
		return 0, nil
	}
	var flags backstores.Flag
	if !r.wait {
		flags = backstores.NoWait
	}
	if r.flag(fua) || d.mode.writeThrough.Load() {
		flags |= backstores.Durable
	}
	if err := backstores.WriteVec(d.store, bufs, off, flags); err != nil {
		return 0, d.writeError(off, n, err)
	}
	if flags&backstores.Durable == 0 && d.mode.writeThrough.Load() {
		// MODE SELECT disabled the cache meanwhile, and flushed before this write.
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

// flush makes all completed writes durable.
//
// A store reports a failure once: what it has lost, a second flush cannot bring
// back. Linux repeats a command that ended in MEDIUM ERROR (scsi_check_sense in
// drivers/scsi/scsi_error.c), so the initiator's own program would see the success
// of the second. It does not repeat one that ended in HARDWARE ERROR.
func (d *Disk) flush() error {
	err := d.during(task{name: "a flush"}, func() error { return backstores.Flush(d.store) })
	if err != nil {
		return storeError(flushFailed, err)
	}
	return nil
}

// synchronizeCache is SBC-4, SYNCHRONIZE CACHE (10) and (16) command. It flushes
// all blocks, whatever the range, and completes after the flush even with
// IMMED.
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
