package scsi

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// kernelCommands are the commands that the target core executes itself for each
// of its disks (passthrough_parse_cdb). Only we can report them. We report
// reservations even if the emulate_pr attribute disables them, as we cannot see
// that attribute. Their functions are for [Options.Direct]: those without one are
// not supported there.
var kernelCommands = []command{
	{0x16, none, "RESERVE(6)", "16 00 00 00 00 00", nil, shares, 0, (*Disk).reserve},
	{0x17, none, "RELEASE(6)", "17 00 00 00 00 00", nil, shares, 0, (*Disk).release},
	{0x56, none, "RESERVE(10)", "56 00 00 00 00 00 00 ffff 00", fields{parameterListLength}, shares, 0, (*Disk).reserve},
	{0x57, none, "RELEASE(10)", "57 00 00 00 00 00 00 ffff 00", fields{parameterListLength}, shares, 0, (*Disk).release},
	{0x5e, 0x00, "PERSISTENT RESERVE IN, READ KEYS", "5e 00 0000000000 ffff 00", fields{allocationLength}, shares, 0, (*Disk).readKeys},
	{0x5e, 0x01, "PERSISTENT RESERVE IN, READ RESERVATION", "5e 01 0000000000 ffff 00", fields{allocationLength}, shares, 0, (*Disk).readReservation},
	{0x5e, 0x02, "PERSISTENT RESERVE IN, REPORT CAPABILITIES", "5e 02 0000000000 ffff 00", fields{allocationLength}, shares, 0, (*Disk).reportCapabilities},
	{0x5e, 0x03, "PERSISTENT RESERVE IN, READ FULL STATUS", "5e 03 0000000000 ffff 00", fields{allocationLength}, shares, 0, (*Disk).readFullStatus},
	{0x5f, 0x00, "PERSISTENT RESERVE OUT, REGISTER", "5f 00 ff 0000 ffffffff 00", reserving, dataOut | shares, 0, (*Disk).persistentReserveOut},
	{0x5f, 0x01, "PERSISTENT RESERVE OUT, RESERVE", "5f 01 ff 0000 ffffffff 00", reserving, dataOut | shares, 0, (*Disk).persistentReserveOut},
	{0x5f, 0x02, "PERSISTENT RESERVE OUT, RELEASE", "5f 02 ff 0000 ffffffff 00", reserving, dataOut | shares, 0, (*Disk).persistentReserveOut},
	{0x5f, 0x03, "PERSISTENT RESERVE OUT, CLEAR", "5f 03 ff 0000 ffffffff 00", reserving, dataOut | shares, 0, (*Disk).persistentReserveOut},
	{0x5f, 0x04, "PERSISTENT RESERVE OUT, PREEMPT", "5f 04 ff 0000 ffffffff 00", reserving, dataOut | shares, 0, (*Disk).persistentReserveOut},
	{0x5f, 0x05, "PERSISTENT RESERVE OUT, PREEMPT AND ABORT", "5f 05 ff 0000 ffffffff 00", reserving, dataOut | slow | shares, 0, (*Disk).persistentReserveOut},
	{0x5f, 0x06, "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", "5f 06 ff 0000 ffffffff 00", reserving, dataOut | shares, 0, (*Disk).persistentReserveOut},
	{0x5f, 0x07, "PERSISTENT RESERVE OUT, REGISTER AND MOVE", "5f 07 ff 0000 ffffffff 00", reserving, dataOut | shares, 0, nil},
	{0xa0, none, "REPORT LUNS", "a0 00 ff 000000 ffffffff 00 00", fields{option("select", 0), allocationLength}, anyState, 0, (*Disk).reportLUNs},
}

// withKernelCommands adds the kernel's commands to those of a disk, in the order
// of opcodes.
func withKernelCommands(ours []row) []row {
	all := slices.Concat(ours, rows(kernelCommands, 0))
	slices.SortStableFunc(all, func(a, b row) int { return cmp.Compare(a.op, b.op) })
	return all
}

// listedFor returns the listed commands with one opcode.
func (d *Disk) listedFor(op byte) (rows []row) {
	for _, r := range d.listed {
		if r.op == op {
			rows = append(rows, r)
		}
	}
	return rows
}

// reportOpcodes is SPC-5, REPORT SUPPORTED OPERATION CODES command.
func (d *Disk) reportOpcodes(r request) (int, error) {
	allocation := int(binary.BigEndian.Uint32(r.cdb[6:]))
	timeouts := r.cdb[2]&0x80 != 0 // RCTD
	op, sa := r.cdb[3], int(binary.BigEndian.Uint16(r.cdb[4:]))
	rows := d.listedFor(op)
	plain := len(rows) > 0 && rows[0].sa == none // it has no service actions
	switch r.cdb[2] & 7 {
	case 0:
		return r.reply(allOpcodes(d.listed, timeouts), allocation)
	case 1: // a command without service actions
		if len(rows) > 0 && !plain {
			return 0, badField(2, 2)
		}
		sa = none
	case 2: // a command with a service action
		if plain {
			return 0, badField(2, 2)
		}
	case 3: // either
		if plain && sa == 0 {
			sa = none
		}
	default:
		return 0, badField(2, 2)
	}
	for i := range rows {
		if rows[i].sa == sa {
			return r.reply(oneOpcode(&rows[i], timeouts), allocation)
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

// oneOpcode is SPC-5, One_command parameter data format. A nil row is an
// unsupported command.
func oneOpcode(row *row, timeouts bool) []byte {
	if row == nil {
		return []byte{0, 0x01, 0, 0}
	}
	b := []byte{0, 0x03, 0, byte(len(row.usage))} // SUPPORT: conforms to the standard
	b = append(b, row.usage...)
	if timeouts {
		b[1] |= 0x80 // CTDP
		b = append(b, noTimeouts[:]...)
	}
	return b
}

// noTimeouts is SPC-5, Command timeouts descriptor without values: the duration
// of a command depends on the storage of the image.
var noTimeouts = [12]byte{1: 10}
