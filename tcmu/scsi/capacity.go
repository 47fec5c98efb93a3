package scsi

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// readCapacity10 is SBC-4, READ CAPACITY (10) command. If the last LBA does not
// fit it returns FFFFFFFFh, and the initiator sends READ CAPACITY (16).
func (d *Disk) readCapacity10(r request) (int, error) {
	var b [8]byte
	binary.BigEndian.PutUint32(b[0:], uint32(min(d.blocks.Load()-1, math.MaxUint32)))
	binary.BigEndian.PutUint32(b[4:], uint32(d.BlockSize))
	return r.reply(b[:], len(b))
}

// readCapacity16 is SBC-4, READ CAPACITY (16) command.
func (d *Disk) readCapacity16(r request) (int, error) {
	var b [32]byte
	binary.BigEndian.PutUint64(b[0:], d.blocks.Load()-1)
	binary.BigEndian.PutUint32(b[8:], uint32(d.BlockSize))
	b[13] = byte(bits.TrailingZeros(uint(d.PhysicalBlock)) - bits.TrailingZeros(uint(d.BlockSize)))
	if d.has&thin != 0 {
		b[14] = 0xc0 // LBPME, LBPRZ
	}
	return r.reply(b[:], int(binary.BigEndian.Uint32(r.cdb[10:])))
}

// physicalBlock is the usual physical block size in bytes. Images are written through
// the page cache, so a write of whole pages needs no read before it. It is not
// less than any BlockSize.
const physicalBlock = 4096
