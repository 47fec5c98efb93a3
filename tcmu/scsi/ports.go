package scsi

import "encoding/binary"

// reportPortGroups is SPC-5, REPORT TARGET PORT GROUPS command: one
// group, active/optimized, with the one port that VPD page 83h names.
func (d *Disk) reportPortGroups(r request) (int, error) {
	const activeOptimized, supported = 0x00, 0x01
	b := []byte{
		0, 0, 0, 12,
		activeOptimized, supported, 0, 0, 0, 0, 0, 1,
		0, 0, 0, 1,
	}
	return r.reply(b, int(binary.BigEndian.Uint32(r.cdb[6:])))
}

// reportTaskManagement is SPC-5, REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
// command: the functions that the kernel's target core executes, or those of package
// iscsi.
func (d *Disk) reportTaskManagement(r request) (int, error) {
	const abortTask, abortTaskSet, clearTaskSet, logicalUnitReset, targetReset = 0x80, 0x40, 0x10, 0x08, 0x02
	b := make([]byte, 4)
	if r.cdb[2]&0x80 != 0 { // REPD
		b = make([]byte, 16)
		b[3] = byte(len(b) - 4)
	}
	b[0] = abortTask | logicalUnitReset
	if d.Direct {
		b[0] |= abortTaskSet | clearTaskSet | targetReset
	}
	return r.reply(b, int(binary.BigEndian.Uint32(r.cdb[6:])))
}
