package scsi

import (
	"slices"

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
	out := backstores.NewSegments(r.data)
	defer out.Free()
	old := slices.Clone(out.Next(n))
	fresh := slices.Clone(out.Next(n))
	id := note{lba: lba, data: digest(r.data)}
	begun := d.intent.wasBegun(id)
	if err := d.compare(off, n, old); err != nil && !(begun && d.mixes(off, n, old, fresh)) {
		return 0, err
	}
	if begun {
		d.intent.left.Store(nil)
	}
	d.intent.begin(r.cdb, id)
	return 0, d.put(fresh, off, n, r.flag(fua))
}

// orWrite is SBC-4, ORWRITE (16) command: it writes the bitwise OR of the blocks
// and the data-out.
func (d *Disk) orWrite(r request) (int, error) {
	bufs, off, n, err := d.blockList(r)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return r.ignoreDataOut()
	}
	durable := r.flag(fua) || d.mode.writeThrough.Load()
	out := backstores.NewSegments(bufs)
	defer out.Free()
	have := make([]byte, min(n, chunk))
	for done := int64(0); done < n; done += int64(len(have)) {
		have = have[:min(n-done, int64(len(have)))]
		if err := backstores.ReadVec(d.store, [][]byte{have}, off+done, 0); err != nil {
			return 0, d.readError(off+done, int64(len(have)), err)
		}
		i := 0
		for _, p := range out.Next(int64(len(have))) {
			for j, b := range p {
				have[i+j] |= b
			}
			i += len(p)
		}
		if int64(len(have)) == n {
			return 0, d.put([][]byte{have}, off, n, durable)
		}
		if err := backstores.WriteVec(d.store, [][]byte{have}, off+done, 0); err != nil {
			return 0, d.writeError(off+done, int64(len(have)), err)
		}
	}
	// One sync, not one for each chunk.
	if durable {
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	return 0, d.wrote(n, durable)
}

// writeVerify is SBC-4, WRITE AND VERIFY (10), (12) and (16) command. It writes
// durably, reads the blocks again and compares them, whatever BYTCHK says: a
// read without a comparison costs the same and verifies less.
func (d *Disk) writeVerify(r request) (int, error) {
	bufs, off, n, err := d.blockList(r)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return r.ignoreDataOut()
	}
	if err := d.put(bufs, off, n, true); err != nil {
		return 0, err
	}
	return 0, d.compare(off, n, bufs)
}

// blockList returns the data-out of a command that has a block of it for each
// block of its range, and the range. It is empty if the range is.
func (d *Disk) blockList(r request) (bufs [][]byte, off, n int64, err error) {
	off, n, err = d.extent(r.blocks())
	if err != nil || n == 0 {
		return nil, 0, 0, err
	}
	if n > MaxTransfer {
		return nil, 0, 0, badField(r.lengthOffset(), -1)
	}
	bufs, ok := r.first(int(n))
	switch {
	case !ok && r.nexus != nil:
		bufs, n = r.wholeBlocks(d.BlockSize)
	case !ok:
		return nil, 0, 0, dataOutTooShort
	}
	return bufs, off, n, nil
}

// put writes the n bytes of bufs at off, durably if asked to or if the cache is
// disabled.
func (d *Disk) put(bufs [][]byte, off, n int64, durable bool) error {
	var flags backstores.Flag
	if durable || d.mode.writeThrough.Load() {
		flags = backstores.Durable
	}
	if err := backstores.WriteVec(d.store, bufs, off, flags); err != nil {
		return d.writeError(off, n, err)
	}
	return d.wrote(n, flags != 0)
}

// wrote counts a write of n bytes. If they are not durable, it flushes them if
// the cache is disabled.
func (d *Disk) wrote(n int64, durable bool) error {
	if !durable {
		if err := d.flushIfWriteThrough(); err != nil {
			return err
		}
	}
	d.count.writes.Add(1)
	d.count.writtenBytes.Add(uint64(n))
	return nil
}
