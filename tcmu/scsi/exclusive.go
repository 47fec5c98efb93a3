package scsi

import (
	"crypto/sha256"

	"github.com/lunserve/lunserve/backstores"
)

// maxCompareAndWrite is the MAXIMUM COMPARE AND WRITE LENGTH in blocks.
const maxCompareAndWrite = 255

// compareAndWrite is SBC-4, COMPARE AND WRITE command. The data-out holds the
// blocks to compare, then the blocks to write.
func (d *Disk) compareAndWrite(r request) (int, error) {
	lba, blocks := r.blocks()
	off, n, err := d.extent(lba, blocks)
	switch {
	case err != nil:
		return 0, err
	case n == 0 && r.room() > 0:
		// The initiator most likely meant 256, which the field cannot hold.
		return 0, badField(13, -1)
	case int64(r.room()) != 2*n:
		return 0, dataOutTooShort
	case n == 0:
		return 0, nil
	}
	list, err := r.copyOut(int(2 * n))
	if err != nil {
		return 0, err
	}
	id := note{lba: lba, data: sha256.Sum256(list)}
	again := d.intent.wasBegun(id)
	if err := d.compare(off, n, list[:n]); err != nil && !(again && d.mixes(off, list[:n], list[n:])) {
		return 0, err
	}
	d.intent.begin(r.cdb, id)
	return 0, d.put(list[n:], off, r.flag(fua))
}

// orWrite is SBC-4, ORWRITE (16) command: it writes the bitwise OR of the blocks
// and the data-out.
func (d *Disk) orWrite(r request) (int, error) {
	list, off, err := d.blockList(r)
	if err != nil {
		return 0, err
	}
	if len(list) == 0 {
		return r.ignoreDataOut()
	}
	have := make([]byte, len(list))
	if err := backstores.ReadVec(d.store, [][]byte{have}, off, 0); err != nil {
		return 0, d.readError(off, int64(len(have)), err)
	}
	for i, b := range list {
		have[i] |= b
	}
	return 0, d.put(have, off, r.flag(fua))
}

// writeVerify is SBC-4, WRITE AND VERIFY (10), (12) and (16) command. It writes
// durably, reads the blocks again and compares them, whatever BYTCHK says: a
// read without a comparison costs the same and verifies less.
func (d *Disk) writeVerify(r request) (int, error) {
	list, off, err := d.blockList(r)
	if err != nil {
		return 0, err
	}
	if len(list) == 0 {
		return r.ignoreDataOut()
	}
	if err := d.put(list, off, true); err != nil {
		return 0, err
	}
	return 0, d.compare(off, int64(len(list)), list)
}

// blockList returns a copy of the data-out of a command that has a block of it
// for each block of its range, and the offset of the range. It is empty if the
// range is.
func (d *Disk) blockList(r request) (list []byte, off int64, err error) {
	off, n, err := d.extent(r.blocks())
	if err != nil || n == 0 {
		return nil, 0, err
	}
	if n > MaxTransfer {
		return nil, 0, badField(r.lengthOffset(), -1)
	}
	if list, err = r.copyOut(int(n)); err != nil {
		return nil, 0, dataOutTooShort
	}
	return list, off, nil
}

// put writes p at off, durably if asked to or if the cache is disabled.
func (d *Disk) put(p []byte, off int64, durable bool) error {
	var flags backstores.Flag
	if durable || d.mode.writeThrough.Load() {
		flags = backstores.Durable
	}
	if err := backstores.WriteVec(d.store, [][]byte{p}, off, flags); err != nil {
		return d.writeError(off, int64(len(p)), err)
	}
	if flags&backstores.Durable == 0 {
		if err := d.flushIfWriteThrough(); err != nil {
			return err
		}
	}
	d.count.writes.Add(1)
	d.count.writtenBytes.Add(uint64(len(p)))
	return nil
}
