package scsi

import "github.com/lunserve/lunserve/backstores"

// Status codes of SAM-6, Status.
const (
	good           = 0x00
	checkCondition = 0x02
	conflict       = 0x18 // RESERVATION CONFLICT
)

// A Result is the outcome of a command. Its fields are those of tcmu.Result. It is
// at most four words long, so that the compiler keeps it in registers.
type Result struct {
	Status byte

	// DataIn is the number of bytes of data-in. If it is zero and the command did
	// not fail, the buffers are cleared: TCM-USER cannot express "no data-in" and
	// returns all of them. A READ that failed may have data-in, too.
	DataIn int32

	Sense []byte // set if and only if Status is CHECK CONDITION
}

// Execute executes one command. cdb may be longer than the command; data holds
// the data-out, or is where the data-in goes. If wait is false and the command
// would have to wait, Execute returns [backstores.ErrWouldBlock], and the
// caller repeats it with wait set, or a [Later], which says how the command is
// executed after all. There is no other error.
func (d *Disk) Execute(cdb []byte, data [][]byte, wait bool) (Result, error) {
	return d.start(request{cdb: cdb, data: data, wait: wait})
}

// start executes a command to which a fault may apply.
func (d *Disk) start(r request) (Result, error) {
	if f := d.faults.Load(); f != nil {
		return d.misbehave(f, r)
	}
	return d.execute(r)
}

// execute executes a command to which no fault applies.
func (d *Disk) execute(r request) (Result, error) {
	n, err := d.run(r)
	if err == nil {
		return Result{Status: good, DataIn: int32(n)}, nil
	}
	if err == backstores.ErrWouldBlock && !r.wait {
		return Result{}, err
	}
	if err == errReservationConflict {
		return Result{Status: conflict}, nil
	}
	s, isSense := err.(Sense)
	if !isSense {
		s = internalFailure.withCause(err)
	}
	result := d.failed(s)
	result.DataIn = int32(n)
	return result, nil
}

// failed returns the result of a command that failed, and reports the error of the
// store that caused it.
func (d *Disk) failed(s Sense) Result {
	if s.Cause != nil && d.Report != nil {
		d.Report(s.Cause)
	}
	if d.mode.descriptorSense.Load() {
		return Result{Status: checkCondition, Sense: s.descriptor()}
	}
	return Result{Status: checkCondition, Sense: s.fixed()}
}

// run finds the command, checks what its attributes ask for, waits for commands
// that are in its way, and runs it.
func (d *Disk) run(r request) (int, error) {
	row, err := d.find(r.cdb)
	if err != nil {
		return 0, err
	}
	r.row, r.cdb = row, r.cdb[:len(row.usage)]
	if err := row.check(r.cdb); err != nil {
		return 0, err
	}
	if row.attrs&slow != 0 && !r.wait {
		return 0, backstores.ErrWouldBlock
	}
	if r.nexus != nil {
		if err := d.admit(r); err != nil {
			return 0, err
		}
	}
	if row.attrs&anyState == 0 && d.medium.needsCheck.Load() {
		if err := d.medium.unitAttention(); err != nil {
			d.medium.refresh(&d.sanitizer)
			return 0, err
		}
		if err := d.ready(row.attrs); err != nil {
			return 0, err
		}
	}
	if row.attrs&locks != 0 {
		if !r.wait && d.tasks.enterQuick() {
			defer d.tasks.leaveQuick()
		} else if id, ok := d.tasks.enter(row.task(r), r.wait); ok {
			defer d.tasks.leave(id)
			if err := d.sanitizer.inProgress(); err != nil { // it has begun meanwhile
				return 0, err
			}
		} else {
			return 0, backstores.ErrWouldBlock
		}
		if err := d.conflict(r); err != nil { // see settle
			return 0, err
		}
	}
	if row.attrs&changes != 0 {
		if err := d.writeProtection(); err != nil {
			return 0, err
		}
	}
	n, err := row.run(d, r)
	if n == 0 && err == nil && row.attrs&dataOut == 0 {
		r.clear() // see Result.DataIn: the buffers hold data of earlier commands
	}
	if r.nexus != nil && err == nil && row.attrs&dataOut != 0 {
		n = int(d.transferLength(row, r.cdb))
	}
	return n, err
}

// find returns the row of a CDB, which may be truncated or invalid.
func (d *Disk) find(cdb []byte) (*row, error) {
	if len(cdb) == 0 {
		return nil, invalidOpcode
	}
	for i := range d.lookup[cdb[0]] {
		row := &d.lookup[cdb[0]][i]
		if row.matches(cdb) && len(cdb) >= len(row.usage) {
			return row, nil
		}
	}
	if len(d.lookup[cdb[0]]) > 0 {
		return nil, badField(1, 4) // unknown service action
	}
	return nil, invalidOpcode
}

// ready returns the reason that a command with these attributes cannot run now.
// No command that is checked can while a SANITIZE runs (SBC-4, Performing a
// sanitize operation).
func (d *Disk) ready(attrs attr) error {
	if err := d.sanitizer.inProgress(); err != nil || attrs&media == 0 {
		return err
	}
	if err := d.medium.ready(); err != nil {
		return err
	}
	if attrs&allowedAfterSanitizeFailure == 0 && d.sanitizer.failed.Load() {
		return sanitizeFailed
	}
	return nil
}

// writeProtection returns the reason that the medium is write protected, or
// nil if it is not.
func (d *Disk) writeProtection() error {
	switch {
	case d.has&writable == 0:
		return writeProtected
	case d.mode.softwareProtect.Load():
		return softwareProtected
	}
	return nil
}
