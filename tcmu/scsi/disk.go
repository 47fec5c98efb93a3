package scsi

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// Options are what a disk answers that its store does not know.
type Options struct {
	BlockSize int    // bytes, 512 or 4096
	Serial    string // VPD page 80h; ASCII, unique to the image
	NAA       string // the designator of the unit: 16 or 32 hex digits
	Removable bool   // the medium can be taken out, and put in again, by command

	// Nexuses looks at who reaches the disk now. What it returns tells, at any
	// later time, whether one of them still does. They may be called by several
	// goroutines at once. If it is nil, they are taken to
	// stay.
	Nexuses func() (left func() bool)

	// Report is told of every error of the store. It may be called by several
	// goroutines at once. Nil is allowed.
	Report func(error)
}

// A Disk is a logical unit. Its methods are safe for concurrent use.
type Disk struct {
	Options
	store  backstores.Backstore
	blocks atomic.Uint64
	has    kind
	rows   []row
	lookup [256][]row // rows by opcode
	told   []row      // what REPORT SUPPORTED OPERATION CODES tells of

	medium     medium
	sanitizing sanitizing
	mode       mode
	count      counters

	// Commands that use blocks hold it shared, those that must be alone
	// exclusively, and so does what a SANITIZE does. A command that may not wait
	// only tries. A flush does without: it may take minutes, in which one that
	// must be alone would stop all that come after it.
	lock sync.RWMutex
}

// NewDisk returns the disk whose contents are in store. Bytes after the last
// whole block are not part of it. The store stays the caller's.
func NewDisk(store backstores.Backstore, o Options) *Disk {
	d := &Disk{Options: o, store: store}
	d.blocks.Store(uint64(store.Size()) / uint64(o.BlockSize))
	if _, ok := store.(io.WriterAt); ok {
		d.has |= writable
	}
	if _, ok := store.(backstores.Trimmer); ok {
		d.has |= thin
	}
	if o.Removable {
		d.has |= removable
	}
	d.rows = rows(commands, d.has)
	d.told = withKernels(d.rows)
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
	if d.mode.descriptorSense.Load() {
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
	if row.kind&slow != 0 && !r.wait {
		return 0, backstores.ErrWouldBlock
	}
	if row.kind&always == 0 && d.medium.odd.Load() {
		if err := d.medium.attention(); err != nil {
			d.medium.refresh(&d.sanitizing)
			return 0, err
		}
		if err := d.ready(row.kind); err != nil {
			return 0, err
		}
	}
	if row.kind&(locks|mends) == locks {
		switch {
		case row.kind&alone != 0:
			d.lock.Lock()
			defer d.lock.Unlock()
		case r.wait:
			d.lock.RLock()
			defer d.lock.RUnlock()
		case d.lock.TryRLock():
			defer d.lock.RUnlock()
		default:
			return 0, backstores.ErrWouldBlock
		}
	}
	if row.kind&changes != 0 {
		if err := d.protected(); err != nil {
			return 0, err
		}
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
	if all := d.blocks.Load(); lba > all || blocks > all-lba {
		return 0, 0, lbaOutOfRange.at(lba)
	}
	return int64(lba) * int64(d.BlockSize), int64(blocks) * int64(d.BlockSize), nil
}

// testUnitReady is SPC-5, TEST UNIT READY command.
func (d *Disk) testUnitReady(request) (int, error) { return 0, nil }

// ready says why a command of this kind cannot be answered. While a SANITIZE
// runs none can (SBC-4, Performing a sanitize operation).
func (d *Disk) ready(k kind) error {
	if err := d.sanitizing.state(); err != nil || k&media == 0 {
		return err
	}
	if err := d.medium.ready(); err != nil {
		return err
	}
	if k&mends == 0 && d.sanitizing.failed.Load() {
		return sanitizeFailed
	}
	return nil
}

// protected says why the medium may not be changed.
func (d *Disk) protected() error {
	switch {
	case d.has&writable == 0:
		return writeProtected
	case d.mode.softwareProtect.Load():
		return softwareProtected
	}
	return nil
}

// requestSense is SPC-5, REQUEST SENSE command. Sense data goes with each
// status, so that what there is to ask for is what the next command would get.
func (d *Disk) requestSense(r request) (int, error) {
	err := d.medium.attention()
	if err == nil {
		err = d.ready(media)
	} else {
		d.medium.refresh(&d.sanitizing)
	}
	s, _ := err.(Sense)
	if r.cdb[1]&1 != 0 {
		return r.reply(s.descriptor(), int(r.cdb[4]))
	}
	return r.reply(s.fixed(), int(r.cdb[4]))
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
