package scsi

import (
	"encoding/binary"
	"math"

	"github.com/lunserve/lunserve/backstores"
)

// lbaStatus is SBC-4, GET LBA STATUS command: which blocks have space of their
// own, from what the store knows of its holes.
func (d *Disk) lbaStatus(r request) (int, error) {
	lba, end := binary.BigEndian.Uint64(r.cdb[2:]), d.blocks.Load()
	if lba >= end {
		return 0, lbaOutOfRange.at(lba)
	}
	allocation := int(binary.BigEndian.Uint32(r.cdb[10:]))
	const header, descriptor = 8, 16
	b := make([]byte, header)
	for room := min(allocation, r.room()); lba < end && (len(b) == header || len(b)+descriptor <= room); {
		n, mapped, err := d.alike(lba, end)
		if err != nil {
			return 0, err
		}
		b = binary.BigEndian.AppendUint64(b, lba)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		b = append(b, 0, 0, 0, 0)
		if !mapped {
			b[len(b)-4] = 1 // deallocated
		}
		lba += n
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return r.reply(b, allocation)
}

// alike returns how many blocks from lba on, before end and as many as a
// descriptor can say, are mapped or are not. A block of which any byte is data
// is mapped.
func (d *Disk) alike(lba, end uint64) (n uint64, mapped bool, err error) {
	most := min(end-lba, math.MaxUint32)
	if d.has&thin == 0 {
		return most, true, nil
	}
	size := int64(d.BlockSize)
	for n < most {
		bytes, data, err := backstores.Extent(d.store, int64(lba+n)*size)
		if err != nil {
			return 0, false, ioError(unrecoveredRead.at(lba+n), err)
		}
		whole := uint64(bytes / size)
		if data || whole == 0 {
			data, whole = true, uint64((bytes+size-1)/size)
		}
		if n > 0 && data != mapped {
			break
		}
		n, mapped = n+whole, data
	}
	return min(n, most), mapped, nil
}

// prefetch is SBC-4, PRE-FETCH (10) command. Blocks are read, and so are in
// the cache of the system that has the image; whether they stay is up to it,
// for which the status is GOOD and not CONDITION MET. More than the Block
// Limits VPD page says are left alone, as IMMED would allow.
func (d *Disk) prefetch(r request) (int, error) {
	lba, blocks := r.blocks()
	off, n, err := d.extent(lba, blocks)
	if err != nil {
		return 0, err
	}
	if blocks == 0 {
		n = int64(d.blocks.Load()-lba) * int64(d.BlockSize)
	}
	return 0, d.compare(off, min(n, MaxTransfer), nil)
}

// readDefects is SBC-4, READ DEFECT DATA (10) and (12) command. There are no
// defects that an image knows of.
func (d *Disk) readDefects(r request) (int, error) {
	if len(r.cdb) == 10 {
		return r.reply([]byte{0, r.cdb[2], 0, 0}, int(binary.BigEndian.Uint16(r.cdb[7:])))
	}
	allocation := int(binary.BigEndian.Uint32(r.cdb[6:]))
	return r.reply([]byte{0, r.cdb[1], 0, 0, 0, 0, 0, 0}, allocation)
}
