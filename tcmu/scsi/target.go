package scsi

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// A Target is a SCSI target device with one target port: what the kernel's target
// core is to the disks behind the ring. Its methods are safe for concurrent use.
type Target struct {
	mu      sync.Mutex
	units   []*Disk // by LUN; nil: there is none
	nexuses []*Nexus
}

// NewTarget returns a target with these logical units, whose LUNs are in their order.
func NewTarget(units ...*Disk) *Target {
	t := new(Target)
	for lun, d := range units {
		t.Add(lun, d)
	}
	return t
}

// Add makes a disk a logical unit, and tells the initiators. There must be none with
// this LUN, which is at most 255. The disk must have been made with Options.Direct.
func (t *Target) Add(lun int, d *Disk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.units) <= lun {
		t.units = append(t.units, nil)
	}
	t.raise(lunsChanged)
	t.units[lun] = d
	for _, n := range t.nexuses {
		n.attach(lun, d)
	}
}

// Remove removes a logical unit, and tells the initiators. It returns when the commands
// that the unit executes have ended. Those that come later find no unit.
func (t *Target) Remove(lun int) {
	t.mu.Lock()
	var left []*unitNexus
	for _, n := range t.nexuses {
		left = append(left, n.detach(lun))
	}
	t.units[lun] = nil
	t.raise(lunsChanged)
	t.mu.Unlock()
	for _, u := range left {
		u.use.Lock() // for good
	}
}

// raise establishes a unit attention condition for all initiators and units. The caller
// holds the lock.
func (t *Target) raise(s Sense) {
	for _, d := range t.units {
		if d != nil {
			d.nexuses.raise(s, everyone)
		}
	}
}

// Attach makes the I_T nexus of an initiator port. Close it.
func (t *Target) Attach(port string) *Nexus {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &Nexus{target: t, port: port}
	n.units.Store(new([]*unitNexus))
	t.nexuses = append(t.nexuses, n)
	for lun, d := range t.units {
		if d != nil {
			n.attach(lun, d)
		}
	}
	return n
}

// A Nexus is an I_T nexus: the target as one initiator port sees it. Its methods are
// safe for concurrent use.
type Nexus struct {
	target *Target
	port   string                       // its name
	units  atomic.Pointer[[]*unitNexus] // by LUN; nil: there is none. Not changed once it is stored.
}

// attach adds a unit. The caller holds the lock of the target.
func (n *Nexus) attach(lun int, d *Disk) {
	units := slices.Clone(*n.units.Load())
	for len(units) <= lun {
		units = append(units, nil)
	}
	u := &unitNexus{disk: d, of: n, port: n.port}
	units[lun] = u
	n.units.Store(&units)
	d.nexuses.add(u)
}

// detach removes a unit. The caller holds the lock of the target.
func (n *Nexus) detach(lun int) *unitNexus {
	units := slices.Clone(*n.units.Load())
	u := units[lun]
	units[lun] = nil
	n.units.Store(&units)
	u.end()
	return u
}

// Close ends the nexus, and with it its reservations of RESERVE, its prevention of
// medium removal and its unit attention conditions. Persistent reservations stay.
func (n *Nexus) Close() {
	t := n.target
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nexuses = slices.DeleteFunc(t.nexuses, func(other *Nexus) bool { return other == n })
	for _, u := range *n.units.Load() {
		if u != nil {
			u.end()
		}
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

// at returns a logical unit, or nil.
func (n *Nexus) at(lun uint64) *unitNexus {
	units := *n.units.Load()
	if i := Number(lun); i >= 0 && i < len(units) {
		return units[i]
	}
	return nil
}

// any returns the first unit, which stands for the target, or nil if there is none.
func (n *Nexus) any() *unitNexus {
	for _, u := range *n.units.Load() {
		if u != nil {
			return u
		}
	}
	return nil
}

// Execute is [Disk.Execute] for a logical unit. The buffers may have fewer bytes than
// the command transfers: it returns as many, or writes whole blocks of them. The
// DataIn of the result is how much it transfers, in its direction.
func (n *Nexus) Execute(lun uint64, cdb []byte, data [][]byte, wait bool) (Result, error) {
	u := n.at(lun)
	if u == nil || !u.use.TryRLock() { // it is being removed
		return n.executeNowhere(request{cdb: cdb, data: data, wait: wait}), nil
	}
	defer u.use.RUnlock()
	r, err := u.disk.start(request{cdb: cdb, data: data, wait: wait, nexus: u})
	if later, ok := err.(*Later); ok {
		err = u.whileThere(later)
	}
	return r, err
}

// whileThere has a command that is held back find no unit if that is removed meanwhile.
func (u *unitNexus) whileThere(l *Later) *Later {
	execute := l.Execute
	l.Execute = func(cdb []byte, data [][]byte) Result {
		if !u.use.TryRLock() {
			return Result{Status: checkCondition, Sense: noSuchUnit.fixed()}
		}
		defer u.use.RUnlock()
		return execute(cdb, data)
	}
	return l
}

// Transfer returns the direction of the data of a command, and how much of what the
// initiator expects to transfer it uses, in bytes.
func (n *Nexus) Transfer(lun uint64, cdb []byte, expected int64) (out bool, room int64) {
	u := n.at(lun)
	if u == nil {
		u = n.any()
	}
	if u == nil {
		return false, 0
	}
	row, err := u.disk.find(cdb)
	if err != nil {
		return false, 0
	}
	return row.attrs&dataOut != 0, min(expected, u.disk.mostData(row, cdb))
}

// Abort takes note that commands for a logical unit were aborted, and reports whether
// it exists.
func (n *Nexus) Abort(lun uint64) bool {
	u := n.at(lun)
	if u != nil {
		u.disk.TaskManagement(false)
	}
	return u != nil
}

// Reset resets a logical unit (SAM-6, Logical unit reset), and reports whether it
// exists. Commands still run to their end.
func (n *Nexus) Reset(lun uint64) bool {
	u := n.at(lun)
	if u != nil {
		u.disk.reset()
	}
	return u != nil
}

// ResetAll resets all logical units.
func (n *Nexus) ResetAll() {
	for _, u := range *n.units.Load() {
		if u != nil {
			u.disk.reset()
		}
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
	u := n.any()
	if u == nil {
		return Result{Status: checkCondition, Sense: noSuchUnit.fixed()}
	}
	d := u.disk
	r.nexus = u
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

// reportLUNs is SPC-5, REPORT LUNS command. An initiator that has read the list need not
// be told any more that it has changed.
func (d *Disk) reportLUNs(r request) (int, error) {
	const ordinary, wellKnown, all = 0, 1, 2
	allocation := int(binary.BigEndian.Uint32(r.cdb[6:]))
	if allocation < 16 {
		return 0, badField(6, -1)
	}
	b := make([]byte, 8)
	switch r.cdb[2] {
	case ordinary, all:
		for i, u := range *r.nexus.of.units.Load() {
			if u != nil {
				b = append(b, 0, byte(i), 0, 0, 0, 0, 0, 0)
				u.forget(lunsChanged)
			}
		}
	case wellKnown:
	default:
		return 0, badField(2, -1)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-8))
	return r.reply(b, allocation)
}
