package scsi

import "encoding/binary"

// readDefects is SBC-4, READ DEFECT DATA (10) and (12) command. The
// defect lists are empty.
func (d *Disk) readDefects(r request) (int, error) {
	if len(r.cdb) == 10 {
		return r.reply([]byte{0, r.cdb[2], 0, 0}, int(binary.BigEndian.Uint16(r.cdb[7:])))
	}
	allocation := int(binary.BigEndian.Uint32(r.cdb[6:]))
	return r.reply([]byte{0, r.cdb[1], 0, 0, 0, 0, 0, 0}, allocation)
}
