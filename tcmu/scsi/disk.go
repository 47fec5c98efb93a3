package scsi

import (
	"errors"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// Options are what a disk answers that its store does not know.
type Options struct {
	BlockSize int    // bytes, 512 or 4096
	Serial    string // VPD page 80h; ASCII, unique to the image
	NAA       string // the designator of the unit: 16 or 32 hex digits

	// Report is told of every error of the store. It may be called by several
	// goroutines at once. Nil is allowed.
	Report func(error)
}

// A Disk is a logical unit. Its methods are safe for concurrent use.
type Disk struct {
	Options
	store  backstores.Backstore
	blocks uint64
	has    kind
	rows   []row
	lookup [256][]row // rows by opcode

	stopped         atomic.Bool
	descriptorSense atomic.Bool
	count           counters
}

// NewDisk returns the disk whose contents are in store. Bytes after the last
// whole block are not part of it. The store stays the caller's.
func NewDisk(store backstores.Backstore, o Options) *Disk {
	d := &Disk{Options: o, store: store, blocks: uint64(store.Size()) / uint64(o.BlockSize)}
	if _, ok := store.(io.WriterAt); ok {
		d.has |= writable
	}
	if _, ok := store.(backstores.Trimmer); ok {
		d.has |= thin
	}
	d.rows = rows(d.has)
	for i, r := range d.rows {
		if n := len(d.lookup[r.op]); n > 0 {
			d.lookup[r.op] = d.rows[i-n : i+1]
		} else {
			d.lookup[r.op] = d.rows[i : i+1]
		}
	}
	return d
}

// Status codes of SAM-6, Status.
const (
	good           = 0x00
	checkCondition = 0x02
)

// Execute executes one command. It has the shape of tcmu.Handler, which says
// more. There is sense data if and only if the status is CHECK CONDITION.
func (d *Disk) Execute(cdb []byte, data [][]byte, wait bool) (status byte, n int, sense []byte, ok bool) {
	n, err := d.run(request{cdb, data, wait})
	if err == nil {
		return good, n, nil, true
	}
	if err == backstores.ErrWouldBlock && !wait {
		return 0, 0, nil, false
	}
	s, isSense := err.(Sense)
	if !isSense {
		s = internalFailure.because(err)
	}
	if s.Cause != nil && d.Report != nil {
		d.Report(s.Cause)
	}
	if d.descriptorSense.Load() {
		return checkCondition, 0, s.descriptor(), true
	}
	return checkCondition, 0, s.fixed(), true
}

// run finds the command, checks what holds for all of its kind, and runs it.
func (d *Disk) run(r request) (int, error) {
	row, err := d.find(r.cdb)
	if err != nil {
		return 0, err
	}
	r.cdb = r.cdb[:len(row.usage)]
	if err := row.check(r.cdb); err != nil {
		return 0, err
	}
	switch {
	case row.kind&media != 0 && d.stopped.Load():
		return 0, needsStart
	case row.kind&changes != 0 && d.has&writable == 0:
		return 0, writeProtected
	case row.kind&slow != 0 && !r.wait:
		return 0, backstores.ErrWouldBlock
	}
	n, err := row.run(d, r)
	if n == 0 && err == nil && row.kind&dataOut == 0 {
		// No data-in at all cannot be said to the ring: the initiator would
		// get what earlier commands left in the buffers.
		r.erase()
	}
	return n, err
}

// find returns the row of a CDB that may be cut short or make no sense.
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
		return nil, badField(1, 4) // the opcode is known, the service action is not
	}
	return nil, invalidOpcode
}

// extent returns the bytes of the medium that a command names, as an offset
// and a length.
func (d *Disk) extent(lba, blocks uint64) (off, n int64, err error) {
	if lba > d.blocks || blocks > d.blocks-lba {
		return 0, 0, lbaOutOfRange.at(lba)
	}
	return int64(lba) * int64(d.BlockSize), int64(blocks) * int64(d.BlockSize), nil
}

// testUnitReady is SPC-5, TEST UNIT READY command.
func (d *Disk) testUnitReady(request) (int, error) { return 0, nil }

// requestSense is SPC-5, REQUEST SENSE command. Sense data goes with each
// status, so that there is never any to ask for afterwards.
func (d *Disk) requestSense(r request) (int, error) {
	var s Sense
	if d.stopped.Load() {
		s = needsStart
	}
	if r.cdb[1]&1 != 0 {
		return r.reply(s.descriptor(), int(r.cdb[4]))
	}
	return r.reply(s.fixed(), int(r.cdb[4]))
}

// startStop is SBC-4, START STOP UNIT command. A stopped disk answers no
// medium command. There are no power conditions and nothing to eject.
func (d *Disk) startStop(r request) (int, error) {
	switch how := r.cdb[4]; {
	case how&0xf0 != 0:
		return 0, badField(4, 7)
	case how&0x02 != 0: // LOEJ
		return 0, badField(4, 1)
	case how&0x01 != 0:
		d.stopped.Store(false)
		return 0, nil
	default:
		if how&0x04 == 0 { // not NO_FLUSH
			if err := d.flush(); err != nil {
				return 0, err
			}
		}
		d.stopped.Store(true)
		return 0, nil
	}
}

// ioError turns an error of the store into the reason for a failed command.
func ioError(s Sense, err error) error {
	if errors.Is(err, backstores.ErrWouldBlock) {
		return backstores.ErrWouldBlock
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return spaceAllocation.because(err)
	}
	return s.because(err)
}
