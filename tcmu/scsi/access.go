package scsi

import (
	"math"

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
	case 0:
		return a, true
	case fault.Flush:
		_, _, err := d.extent(r.blocks())
		return a, err == nil
	case fault.Unmap:
		all, err := d.unmapList(r)
		if err != nil {
			return a, false
		}
		for _, e := range all {
			if e.n > 0 {
				first := uint64(e.off) / uint64(d.BlockSize)
				a.Areas = append(a.Areas, fault.Area{First: first, End: first + uint64(e.n)/uint64(d.BlockSize)})
			}
		}
		return a, true
	}
	lba, n := r.blocks()
	if _, bytes, err := d.extent(lba, n); err != nil || !d.fits(r, bytes) {
		return a, false
	}
	if n > 0 {
		a.Areas = []fault.Area{{First: lba, End: lba + n}}
	}
	a.Transfers = transfers(row.op)
	return a, true
}

// fits reports whether a command for n bytes of the medium has a length and data that
// it can be executed with. If not, it fails by itself.
func (d *Disk) fits(r request, n int64) bool {
	room := int64(r.room())
	switch r.row.op {
	case opPreFetch10, opPreFetch16: // they read no more than they can
		return true
	case opWriteSame10, opWriteSame16:
		ndob := len(r.cdb) == 16 && r.flag(0x01)
		return n > 0 && n <= maxWriteSameBytes && (ndob || room == int64(d.BlockSize))
	case opReadCD:
		if d.checkReadCD(r) != nil {
			return false
		}
	case opCompareAndWrite:
		return room == 2*n
	case opVerify10, opVerify12, opVerify16:
		need := []int64{0, n, math.MaxInt64, int64(d.BlockSize)}[r.cdb[1]>>1&3]
		return n == 0 || n <= MaxTransfer && room >= need
	}
	short := r.row.attrs&dataOut != 0 && room < n && r.nexus == nil // one without data-in returns less
	return n <= MaxTransfer && !short
}

// transfers reports whether a command with an opcode transfers each of its blocks once.
func transfers(op byte) bool {
	switch op {
	case 0x08, 0x28, 0xa8, 0x88, 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e: // READ, WRITE, WRITE AND VERIFY
		return true
	}
	return false
}

// kindOf returns what commands with an opcode do.
func kindOf(op byte) fault.Command {
	switch op {
	case 0x08, 0x28, 0xa8, 0x88, 0xbe, 0x2f, 0xaf, 0x8f, 0x34, 0x90: // READ, READ CD, VERIFY, PRE-FETCH
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
