package scsi

import (
	"encoding/binary"
)

// A Target is a SCSI target device with one target port: what the kernel's target
// core is to the disks behind the ring. Logical unit n is the disk with that index.
// Its methods are safe for concurrent use.
type Target struct{ units []*Disk }

// NewTarget returns a target with these logical units, at most 256. They must have
// been made with Options.Direct.
func NewTarget(units ...*Disk) *Target {
	t := &Target{units}
	for _, d := range units {
		d.target = t
	}
	return t
}

// Attach makes the I_T nexus of an initiator port. Close it.
func (t *Target) Attach(port string) *Nexus {
	n := &Nexus{target: t}
	for _, d := range t.units {
		u := &unitNexus{port: port}
		n.units = append(n.units, u)
		d.nexuses.add(u)
	}
	return n
}

// A Nexus is an I_T nexus: the target as one initiator port sees it. Its methods are
// safe for concurrent use.
type Nexus struct {
	target *Target
	units  []*unitNexus // by LUN
}

// Close ends the nexus, and with it its reservations of RESERVE, its prevention of
// medium removal and its unit attention conditions. Persistent reservations stay.
func (n *Nexus) Close() {
	for i, d := range n.target.units {
		d.nexuses.remove(n.units[i])
		d.reservations.release(n.units[i])
	}
}

// Number returns the index that a LUN stands for (SAM-6, Single level logical unit
// number structure), or -1.
func Number(lun uint64) int {
	const peripheral, flat = 0, 1
	if lun<<16 != 0 {
		return -1
	}
	switch lun >> 62 {
	case peripheral:
		return int(lun >> 48) // a bus identifier is beyond all units
	case flat:
		return int(lun >> 48 & 0x3fff)
	}
	return -1
}

// at returns the logical unit, or nil.
func (n *Nexus) at(lun uint64) (*Disk, *unitNexus) {
	i := Number(lun)
	if i < 0 || i >= len(n.units) {
		return nil, nil
	}
	return n.target.units[i], n.units[i]
}

// Execute is [Disk.Execute] for a logical unit. The buffers may have fewer bytes than
// the command transfers: it returns as many, or writes whole blocks of them. The
// DataIn of the result is how much it transfers, in its direction.
func (n *Nexus) Execute(lun uint64, cdb []byte, data [][]byte, wait bool) (Result, error) {
	d, u := n.at(lun)
	if d == nil {
		return n.executeNowhere(request{cdb: cdb, data: data, wait: wait, nexus: n.units[0]}), nil
	}
	return d.start(request{cdb: cdb, data: data, wait: wait, nexus: u})
}

// Transfer returns the direction of the data of a command, and how much of what the
// initiator expects to transfer it uses, in bytes.
func (n *Nexus) Transfer(lun uint64, cdb []byte, expected int64) (out bool, room int64) {
	d, _ := n.at(lun)
	if d == nil {
		d = n.target.units[0]
	}
	row, err := d.find(cdb)
	if err != nil {
		return false, 0
	}
	return row.attrs&dataOut != 0, min(expected, d.mostData(row, cdb))
}

// Abort takes note that commands for a logical unit were aborted, and reports whether
// it exists.
func (n *Nexus) Abort(lun uint64) bool {
	d, _ := n.at(lun)
	if d != nil {
		d.TaskManagement(false)
	}
	return d != nil
}

// Reset resets a logical unit (SAM-6, Logical unit reset), and reports whether it
// exists. Commands still run to their end.
func (n *Nexus) Reset(lun uint64) bool {
	d, _ := n.at(lun)
	if d != nil {
		d.reset()
	}
	return d != nil
}

// ResetAll resets all logical units.
func (n *Nexus) ResetAll() {
	for _, d := range n.target.units {
		d.reset()
	}
}

func (d *Disk) reset() {
	d.TaskManagement(true)
	d.nexuses.allow()
	d.reservations.release(nil)
	d.raise(wasReset, everyone)
}

// executeNowhere executes a command for a logical unit that does not exist (SAM-6,
// Incorrect logical unit numbers).
func (n *Nexus) executeNowhere(r request) Result {
	d := n.target.units[0]
	row, err := d.find(r.cdb)
	if err != nil {
		return Result{Status: checkCondition, Sense: noSuchUnit.fixed()}
	}
	r.cdb = r.cdb[:len(row.usage)]
	length := 0
	switch {
	case row.check(r.cdb) != nil:
	case row.op == opReportLUNs:
		length, err = d.reportLUNs(r)
		if err == nil {
			return Result{DataIn: int32(length)}
		}
	case row.op == opInquiry && r.cdb[1]&1 == 0 && r.cdb[2] == 0:
		b := d.standardInquiry()
		b[0] = 0x7f // no device is or can be there
		length, _ = r.reply(b, int(binary.BigEndian.Uint16(r.cdb[3:])))
		return Result{DataIn: int32(length)}
	case row.op == opRequestSense:
		length, _ = r.reply(noSuchUnit.fixed(), int(r.cdb[4]))
		return Result{DataIn: int32(length)}
	}
	return Result{Status: checkCondition, Sense: noSuchUnit.fixed()}
}

// reportLUNs is SPC-5, REPORT LUNS command.
func (d *Disk) reportLUNs(r request) (int, error) {
	const ordinary, wellKnown, all = 0, 1, 2
	allocation := int(binary.BigEndian.Uint32(r.cdb[6:]))
	if allocation < 16 {
		return 0, badField(6, -1)
	}
	b := make([]byte, 8)
	switch r.cdb[2] {
	case ordinary, all:
		for i := range d.target.units {
			b = append(b, 0, byte(i), 0, 0, 0, 0, 0, 0)
		}
	case wellKnown:
	default:
		return 0, badField(2, -1)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-8))
	return r.reply(b, allocation)
}
