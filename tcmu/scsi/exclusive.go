package scsi

import "github.com/lunserve/lunserve/backstores"

// maxCompareAndWrite is in blocks, as the Block Limits VPD page has it.
const maxCompareAndWrite = 255

// compareAndWrite is SBC-4, COMPARE AND WRITE command: the data-out has the
// blocks that must be there and, after them, those to put in their place.
func (d *Disk) compareAndWrite(r request) (int, error) {
	lba, blocks := r.blocks()
	off, n, err := d.extent(lba, blocks)
	switch {
	case err != nil:
		return 0, err
	case n == 0 && r.room() > 0:
		// More blocks than the field counts, most likely.
		return 0, badField(13, -1)
	case int64(r.room()) != 2*n:
		return 0, listTooShort
	case n == 0:
		return 0, nil
	}
	list, err := r.list(int(2 * n))
	if err != nil {
		return 0, err
	}
	if err := d.compare(off, n, list[:n]); err != nil {
		return 0, err
	}
	return 0, d.put(list[n:], off, r.flag(fua))
}

// orWrite is SBC-4, ORWRITE (16) command: the data-out is or'ed into the
// blocks.
func (d *Disk) orWrite(r request) (int, error) {
	list, off, err := d.blockList(r)
	if err != nil {
		return 0, err
	}
	if len(list) == 0 {
		return r.unused()
	}
	have := make([]byte, len(list))
	if err := backstores.ReadVec(d.store, [][]byte{have}, off, 0); err != nil {
		return 0, d.unread(off, int64(len(have)), err)
	}
	for i, b := range list {
		have[i] |= b
	}
	return 0, d.put(have, off, r.flag(fua))
}

// writeVerify is SBC-4, WRITE AND VERIFY (10) command, and its brothers. What
// was written is made durable and read again, with BYTCHK and without, as a
// read that is not compared verifies less and costs the same.
func (d *Disk) writeVerify(r request) (int, error) {
	list, off, err := d.blockList(r)
	if err != nil {
		return 0, err
	}
	if len(list) == 0 {
		return r.unused()
	}
	if err := d.put(list, off, true); err != nil {
		return 0, err
	}
	return 0, d.compare(off, int64(len(list)), list)
}

// blockList is the data-out of a command for each of the blocks that it names, and
// where these are. It is empty if there are none.
func (d *Disk) blockList(r request) (list []byte, off int64, err error) {
	off, n, err := d.extent(r.blocks())
	if err != nil || n == 0 {
		return nil, 0, err
	}
	if n > MaxTransfer {
		return nil, 0, badField(r.lengthAt(), -1)
	}
	if list, err = r.list(int(n)); err != nil {
		return nil, 0, listTooShort
	}
	return list, off, nil
}

// put writes p at off. It is durable on return if that is asked for, or if the
// mode asks for it of all writes.
func (d *Disk) put(p []byte, off int64, durable bool) error {
	var flags backstores.Flag
	if durable || d.mode.writeThrough.Load() {
		flags = backstores.Durable
	}
	if err := backstores.WriteVec(d.store, [][]byte{p}, off, flags); err != nil {
		return d.unwritten(off, int64(len(p)), err)
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
