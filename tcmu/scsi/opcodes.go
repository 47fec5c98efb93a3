package scsi

import (
	"encoding/binary"
	"math"
)

// reportOpcodes is SPC-5, REPORT SUPPORTED OPERATION CODES command: the table
// of commands, as the initiator sees it.
func (d *Disk) reportOpcodes(r request) (int, error) {
	allocation := int(min(binary.BigEndian.Uint32(r.cdb[6:]), math.MaxInt32))
	timeouts := r.cdb[2]&0x80 != 0 // RCTD
	op, sa := r.cdb[3], int(binary.BigEndian.Uint16(r.cdb[4:]))
	switch r.cdb[2] & 7 {
	case 0:
		return r.reply(allOpcodes(d.rows, timeouts), allocation)
	case 1: // an operation code that has no service actions
		for _, row := range d.lookup[op] {
			if row.sa != none {
				return 0, badField(2, 2)
			}
		}
		sa = none
	case 2: // one that has
		if rows := d.lookup[op]; len(rows) > 0 && rows[0].sa == none {
			return 0, badField(2, 2)
		}
	case 3: // whichever it has
		if rows := d.lookup[op]; sa == 0 && len(rows) > 0 && rows[0].sa == none {
			sa = none
		}
	default:
		return 0, badField(2, 2)
	}
	for i := range d.lookup[op] {
		if row := &d.lookup[op][i]; row.sa == sa {
			return r.reply(oneOpcode(row, timeouts), allocation)
		}
	}
	return r.reply(oneOpcode(nil, false), allocation)
}

// allOpcodes is SPC-5, All_commands parameter data format.
func allOpcodes(rows []row, timeouts bool) []byte {
	b := make([]byte, 4)
	for _, row := range rows {
		d := make([]byte, 8)
		d[0] = row.op
		if row.sa != none {
			binary.BigEndian.PutUint16(d[2:], uint16(row.sa))
			d[5] |= 0x01 // SERVACTV
		}
		if timeouts {
			d[5] |= 0x02 // CTDP
		}
		binary.BigEndian.PutUint16(d[6:], uint16(len(row.usage)))
		b = append(b, d...)
		if timeouts {
			b = append(b, noTimeouts[:]...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// oneOpcode is SPC-5, One_command parameter data format. A nil row is a
// command that is not supported.
func oneOpcode(row *row, timeouts bool) []byte {
	if row == nil {
		return []byte{0, 0x01, 0, 0}
	}
	b := []byte{0, 0x03, 0, byte(len(row.usage))} // supported as the standard says
	b = append(b, row.usage...)
	if timeouts {
		b[1] |= 0x80 // CTDP
		b = append(b, noTimeouts[:]...)
	}
	return b
}

// noTimeouts is SPC-5, Command timeouts descriptor, that says nothing: how
// long a command takes depends on what the image is stored on.
var noTimeouts = [12]byte{1: 10}
