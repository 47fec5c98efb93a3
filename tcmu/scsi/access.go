package scsi

import (
	"encoding/binary"

	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// access returns what a command does, or reports false if it fails by itself: a disk
// checks a command before it looks at the medium.
func (d *Disk) access(r request) (a fault.Access, ok bool) {
	row, err := d.find(r.cdb)
	if err != nil {
		return a, false
	}
	r.row, r.cdb = row, r.cdb[:len(row.usage)]
	a.Exempt = row.attrs&anyState != 0
	if d.conflict(r) != nil || r.nexus != nil && !a.Exempt && r.nexus.pending.Load() {
		return a, false
	}
	if row.check(r.cdb) != nil || !a.Exempt && d.medium.needsCheck.Load() || row.attrs&changes != 0 && d.writeProtection() != nil {
		return a, false
	}
	a.Does = kindOf(row.op)
	switch a.Does {
	case 0, fault.Flush:
		return a, true
	case fault.Unmap:
		a.Areas = unmapped(r)
	default:
		if lba, n := r.blocks(); n > 0 {
			a.Areas = []fault.Area{{First: lba, End: lba + n}}
		}
	}
	for _, area := range a.Areas {
		if _, _, err := d.extent(area.First, area.End-area.First); err != nil {
			return a, false
		}
	}
	return a, true
}

// kindOf returns what commands with an opcode do.
func kindOf(op byte) fault.Command {
	switch op {
	case 0x08, 0x28, 0xa8, 0x88, 0x2f, 0xaf, 0x8f, 0x34, 0x90: // READ, VERIFY, PRE-FETCH
		return fault.Read
	case 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x41, 0x93: // WRITE, WRITE AND VERIFY, WRITE SAME
		return fault.Write
	case 0x89, 0x8b: // COMPARE AND WRITE, ORWRITE
		return fault.Read | fault.Write
	case 0x42:
		return fault.Unmap
	case 0x35, 0x91: // SYNCHRONIZE CACHE
		return fault.Flush
	}
	return 0
}

// unmapped returns the blocks in the parameter list of an UNMAP.
func unmapped(r request) (all []fault.Area) {
	list := r.peek(int(binary.BigEndian.Uint16(r.cdb[7:])))
	if len(list) < 8 {
		return nil
	}
	descriptors := list[8:]
	descriptors = descriptors[:min(len(descriptors), int(binary.BigEndian.Uint16(list[2:])))]
	for ; len(descriptors) >= 16; descriptors = descriptors[16:] {
		lba, n := binary.BigEndian.Uint64(descriptors), uint64(binary.BigEndian.Uint32(descriptors[8:]))
		if n > 0 && lba+n > lba {
			all = append(all, fault.Area{First: lba, End: lba + n})
		}
	}
	return all
}
