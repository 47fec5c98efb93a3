package scsi

import (
	"encoding/binary"
	"math"

	"github.com/lunserve/lunserve/backstores"
)

// maxExtents bounds how many extents of the store a command looks at. In a file
// on ext4 that takes a tenth of a second.
const maxExtents = 1 << 16

// lbaStatus is SBC-4, GET LBA STATUS command. Blocks in holes of the store are
// deallocated, all others mapped. It returns fewer descriptors than there is room
// for if it would have to look at too much.
func (d *Disk) lbaStatus(r request) (int, error) {
	lba, end := binary.BigEndian.Uint64(r.cdb[2:]), d.blocks.Load()
	if lba >= end {
		return 0, lbaOutOfRange.withInfo(lba)
	}
	allocation := int(binary.BigEndian.Uint32(r.cdb[10:]))
	const header, descriptor = 8, 16
	b := make([]byte, header)
	extents := maxExtents
	for room := min(allocation, r.room(), chunk/4); lba < end && extents > 0 && (len(b) == header || len(b)+descriptor <= room); {
		n, mapped, err := d.statusRun(lba, lba+min(end-lba, math.MaxUint32), &extents)
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

// statusRun returns the number of blocks from lba on that have the same
// provisioning status, before end, and reports whether they are mapped. A block
// with any byte of data is mapped. It takes the extents that it looks at from
// those left, and returns a part of the run if they do not suffice.
func (d *Disk) statusRun(lba, end uint64, left *int) (n uint64, mapped bool, err error) {
	most := end - lba
	if d.has&thin == 0 {
		return most, true, nil
	}
	size := int64(d.BlockSize)
	for n == 0 || n < most && *left > 0 {
		*left--
		bytes, data, err := backstores.Extent(d.store, int64(lba+n)*size)
		if err != nil {
			return 0, false, storeError(unrecoveredRead.withInfo(lba+n), err)
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
