package scsi

import (
	"bytes"
	"encoding/binary"

	"github.com/lunserve/lunserve/backstores"
)

// The limits in the Block Limits VPD page.
const (
	maxUnmapBytes       = 512 << 20
	maxUnmapDescriptors = 64
	maxWriteSameBytes   = 1 << 30
	unmapGranularity    = 4096 // bytes: the allocation unit of file systems

	unmapBit = 0x08 // in the second byte of a CDB
)

// unmap is SBC-4, UNMAP command. It checks all ranges before it unmaps any.
func (d *Disk) unmap(r request) (int, error) {
	length := int(binary.BigEndian.Uint16(r.cdb[7:]))
	if length == 0 {
		return r.ignoreDataOut()
	}
	if length < 8 {
		return 0, listLengthError
	}
	list, err := r.copyOut(length)
	if err != nil {
		return 0, err
	}
	descriptors := list[8:]
	descriptors = descriptors[:min(len(descriptors), int(binary.BigEndian.Uint16(list[2:])))]
	if len(descriptors)/16 > maxUnmapDescriptors {
		return 0, badParameter(2)
	}
	type extent struct{ off, n int64 }
	var extents []extent
	total := int64(0)
	for ; len(descriptors) >= 16; descriptors = descriptors[16:] {
		off, n, err := d.extent(binary.BigEndian.Uint64(descriptors), uint64(binary.BigEndian.Uint32(descriptors[8:])))
		if err != nil {
			return 0, err
		}
		total += n
		extents = append(extents, extent{off, n})
	}
	if total > maxUnmapBytes {
		return 0, badParameter(8)
	}
	for _, e := range extents {
		if err := d.trim(e.off, e.n); err != nil {
			return 0, err
		}
	}
	d.count.trims.Add(1)
	return 0, d.flushIfWriteThrough()
}

// trim deallocates n bytes at off, which then read as zeros.
func (d *Disk) trim(off, n int64) error {
	if n == 0 {
		return nil
	}
	if err := backstores.Trim(d.store, off, n); err != nil {
		return d.writeError(off, n, err)
	}
	return nil
}

// writeSame is SBC-4, WRITE SAME (10) and (16) command. It writes the one block
// of data-out, or zeros with NDOB, to each block. With UNMAP it unmaps the
// blocks instead if the data is zeros, as unmapped blocks read as zeros.
func (d *Disk) writeSame(r request) (int, error) {
	off, n, err := d.extent(r.blocks())
	if err != nil {
		return 0, err
	}
	if n == 0 || n > maxWriteSameBytes { // WSNZ is set: zero does not mean "to the end"
		return 0, badField(r.lengthOffset(), -1)
	}
	unmap := r.flag(unmapBit)
	block := make([]byte, d.BlockSize)
	if ndob := len(r.cdb) == 16 && r.flag(0x01); ndob {
		r.ignoreDataOut()
	} else {
		if r.room() != d.BlockSize {
			return 0, dataOutTooShort
		}
		if block, err = r.copyOut(d.BlockSize); err != nil {
			return 0, err
		}
	}
	zeros := len(bytes.TrimLeft(block, "\x00")) == 0
	switch {
	case zeros && unmap:
		if err := d.trim(off, n); err != nil {
			return 0, err
		}
		d.count.trims.Add(1)
		return 0, d.flushIfWriteThrough()
	case zeros:
		err = backstores.Zero(d.store, off, n)
	default:
		err = d.repeat(block, off, n)
	}
	if err != nil {
		return 0, d.writeError(off, n, err)
	}
	d.count.writes.Add(1)
	d.count.writtenBytes.Add(uint64(n))
	return 0, d.flushIfWriteThrough()
}

// flushIfWriteThrough flushes if the cache is disabled, for changes that are not
// durable by themselves.
func (d *Disk) flushIfWriteThrough() error {
	if !d.mode.writeThrough.Load() {
		return nil
	}
	return d.flush()
}

// repeat writes copies of block to n bytes at off.
func (d *Disk) repeat(block []byte, off, n int64) error {
	many := bytes.Repeat(block, int(min(n, chunk)/int64(len(block))))
	for end := off + n; off < end; {
		part := many[:min(end-off, int64(len(many)))]
		if err := backstores.WriteVec(d.store, [][]byte{part}, off, 0); err != nil {
			return err
		}
		off += int64(len(part))
	}
	return nil
}
