package scsi

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// A Later is the error of a command that a fault holds back, or of one that must
// wait while there are rules of faults: these are asked once about each command.
type Later struct {
	After   time.Duration   // how long to hold it
	Release <-chan struct{} // closed: hold it no longer

	// Execute executes it, and may wait. Its buffers may be others by then, with the
	// same data-out.
	Execute func(cdb []byte, data [][]byte) Result
}

func (*Later) Error() string { return "the command is held back" }

// SetFaults makes the disk misbehave by the rules of f from the next command on, or
// no more if f is nil.
func (d *Disk) SetFaults(f *fault.Set) { d.faults.Store(f) }

// statuses are those of SAM-6, Status, that a fault returns.
var statuses = map[fault.Action]byte{fault.Busy: 0x08, fault.Reservation: 0x18, fault.TaskSetFull: 0x28}

// senses are the reasons by which a fault ends any command.
var senses = map[fault.Action]Sense{
	fault.Unsupported: invalidOpcode,
	fault.Aborted:     {Key: abortedCommand},
	fault.Transport:   linkFailed,
	fault.UA:          poweredOn,
}

// misbehave executes a command as the rules of f have it. It never waits for a rule.
func (d *Disk) misbehave(f *fault.Set, r request) (Result, error) {
	if r.wait { // it began before there were rules, or they had nothing to say
		return d.execute(r)
	}
	a, ok := d.access(r)
	if !ok {
		return d.execute(r)
	}
	v := f.Judge(a)
	if v.After == 0 {
		if result, err := d.suffer(f, a, v, r); err == nil {
			return result, nil
		}
	}
	return Result{}, d.later(f, a, v, r)
}

// later returns how a command to which v applies is executed.
func (d *Disk) later(f *fault.Set, a fault.Access, v fault.Verdict, r request) *Later {
	r.wait, r.held, r.managed = true, true, d.managed.Load()
	return &Later{v.After, v.Release, func(cdb []byte, data [][]byte) Result {
		r.cdb, r.data = cdb, data
		result, _ := d.suffer(f, a, v, r)
		return result
	}}
}

// Judge is for commands that are not executed without wait at first: it returns how one
// is executed with wait, or nil for [Nexus.Execute]. Buffers of data-in may be missing.
func (n *Nexus) Judge(lun uint64, cdb []byte, data [][]byte) *Later {
	d, u := n.at(lun)
	if d == nil {
		return nil
	}
	f := d.faults.Load()
	if f == nil {
		return nil
	}
	r := request{cdb: cdb, data: data, nexus: u}
	a, ok := d.access(r)
	if !ok {
		return nil
	}
	return d.later(f, a, f.Judge(a), r)
}

// suffer executes a command to which v applies.
func (d *Disk) suffer(f *fault.Set, a fault.Access, v fault.Verdict, r request) (Result, error) {
	if status, ok := statuses[v.Action]; ok {
		r.clear() // see Result.DataIn
		return Result{Status: status}, nil
	}
	if s, ok := senses[v.Action]; ok {
		return d.failed(s), nil
	}
	switch v.Action {
	case fault.Lost:
		r.clear()
		return Result{DataIn: d.received(r)}, nil
	case fault.Medium:
		return d.mediumFails(f, a, v, r)
	case fault.Torn:
		result, err := d.begin(f, a, r, v.Blocks)
		if result.Status == good {
			result.DataIn = d.received(r)
		}
		return result, err
	case fault.Flip:
		return d.flip(f, a, v, r)
	}
	return d.sound(f, a, r)
}

// received returns how much data-out a nexus is told that a command has taken: all, as
// if it had been executed.
func (d *Disk) received(r request) int32 {
	row, err := d.find(r.cdb)
	if err != nil || r.nexus == nil || row.attrs&dataOut == 0 {
		return 0
	}
	return int32(d.transferLength(row, r.cdb))
}

// sound executes a command, after which what it has written can be read.
func (d *Disk) sound(f *fault.Set, a fault.Access, r request) (Result, error) {
	result, err := d.execute(r)
	if err == nil && result.Status == good && a.Does&(fault.Write|fault.Unmap) != 0 {
		f.Wrote(a.Areas)
	}
	return result, err
}

// begin executes a command for its first n blocks only.
func (d *Disk) begin(f *fault.Set, a fault.Access, r request, n uint64) (Result, error) {
	row, err := d.find(r.cdb)
	if n == 0 || err != nil {
		return Result{}, nil
	}
	a.Areas = []fault.Area{{First: a.Areas[0].First, End: a.Areas[0].First + n}}
	r.cdb, r.data = slices.Clone(r.cdb[:len(row.usage)]), slices.Clone(r.data)
	switch at := r.lengthOffset(); len(r.cdb) {
	case 6:
		r.cdb[at] = byte(n)
	case 10:
		binary.BigEndian.PutUint16(r.cdb[at:], uint16(n))
	default:
		length := uint32(n)
		if r.cdb[0] == opReadCD { // three bytes, and flags behind them
			length = length<<8 | uint32(r.cdb[at+3])
		}
		binary.BigEndian.PutUint32(r.cdb[at:], length)
	}
	return d.sound(f, a, r)
}

// mediumFails ends a command in MEDIUM ERROR. A READ returns the blocks before the bad
// one, and a WRITE writes them: Linux takes them for done (sd_completed_bytes).
func (d *Disk) mediumFails(f *fault.Set, a fault.Access, v fault.Verdict, r request) (Result, error) {
	s := writeFault
	if v.Does&fault.Read != 0 {
		s = unrecoveredRead
	}
	if len(a.Areas) == 0 {
		return d.failed(s), nil
	}
	var before Result
	if a.Does == fault.Read || a.Does == fault.Write {
		var err error
		if before, err = d.begin(f, a, r, v.LBA-a.Areas[0].First); err != nil || before.Status != good {
			return before, err
		}
	}
	result := d.failed(s.withInfo(v.LBA))
	result.DataIn = before.DataIn
	return result, nil
}

// flip executes a command, of whose data some bits are wrong.
func (d *Disk) flip(f *fault.Set, a fault.Access, v fault.Verdict, r request) (Result, error) {
	if !r.wait {
		return Result{}, backstores.ErrWouldBlock // not twice: a bit that is flipped again is right
	}
	area := a.Areas[0]
	area.End = min(area.End, area.First+uint64(r.room()/d.BlockSize)) // of which there is data
	flip := func() {
		v.Flips(area, uint64(d.BlockSize)*8, func(lba, bit uint64) {
			at := (lba-area.First)*uint64(d.BlockSize) + bit/8
			for _, b := range r.data {
				if at < uint64(len(b)) {
					b[at] ^= 1 << (bit % 8)
					return
				}
				at -= uint64(len(b))
			}
		})
	}
	if a.Does == fault.Write {
		flip()
	}
	result, err := d.sound(f, a, r)
	if a.Does == fault.Read && result.Status == good {
		flip()
	}
	return result, err
}
