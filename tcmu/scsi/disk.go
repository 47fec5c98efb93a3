package scsi

import (
	"cmp"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// Options are the properties of a disk that its store does not know.
type Options struct {
	BlockSize int    // bytes, 512 or 4096; of a CD-ROM 2048
	Serial    string // VPD page 80h; ASCII, unique to the image
	NAA       string // designator of the logical unit: 16 or 32 hex digits
	Removable bool   // START STOP UNIT can eject and load the medium
	CDROM     bool   // a CD/DVD device with a disc that cannot be written; it is removable

	Vendor, Product, Revision string // ASCII, at most 8, 16 and 4 bytes; empty: ours
	Rotational                bool
	WriteThrough              bool // there is no volatile cache: a write is durable when it completes
	PhysicalBlock             int  // bytes, a power of two, not less than BlockSize; 0: 4096

	// Nexuses records the I_T nexuses that exist now, and returns a function
	// that reports whether any of them still exists. Prevention of medium
	// removal ends when none does. Both functions must be safe for concurrent
	// use. If Nexuses is nil, every nexus is assumed to last.
	Nexuses func() (remain func() bool)

	// Shared reports whether several I_T nexuses use the unit, which then share
	// one state. If it is nil, they do not. It must be safe for concurrent use.
	Shared func() bool

	// Direct means that no kernel is in between: commands come by a [Nexus], and the
	// unit also executes those that the target core executes for the disks behind
	// the ring, such as reservations. Nexuses is not used then.
	Direct bool

	// MostBytes is what the fabric transfers with one command, if that is less
	// than MaxTransfer; 0 if it is not. Initiators are told, and may send more.
	MostBytes int64

	// Memory survives this process, but not the disk: a server that is killed
	// leaves a note there for the one that goes on with the disk. It is zero at
	// first, and has 48 bytes or more, or is nil. If it is not nil, Settled must
	// be called after each Execute with wait set.
	Memory []byte

	// Report is called with every error of the store, if it is not nil. It must
	// be safe for concurrent use.
	Report func(error)
}

// A Disk is a logical unit. Its methods are safe for concurrent use.
type Disk struct {
	Options
	store  backstores.Backstore
	blocks atomic.Uint64
	has    ability
	rows   []row
	lookup [256][]row // rows by opcode
	listed []row      // for REPORT SUPPORTED OPERATION CODES

	target       *Target // nil behind the ring
	nexuses      nexusSet
	reservations reservations

	medium    medium
	sanitizer sanitizer
	mode      mode
	count     counters
	intent    intent
	tasks     taskSet
	faults    atomic.Pointer[fault.Set] // nil unless there are rules
	managed   atomic.Uint32             // task management functions
	resizing  sync.Mutex
}

// NewDisk returns a disk with the contents of store, which it does not close.
// Bytes after the last whole block are not part of the disk.
func NewDisk(store backstores.Backstore, o Options) *Disk {
	o.Vendor, o.Product, o.Revision = cmp.Or(o.Vendor, vendor), cmp.Or(o.Product, product), cmp.Or(o.Revision, revision)
	o.PhysicalBlock = cmp.Or(o.PhysicalBlock, physicalBlock)
	d := &Disk{Options: o, store: store}
	d.intent.use(o.Memory)
	d.tasks.freed.L = &d.tasks.mu
	d.blocks.Store(uint64(store.Size()) / uint64(o.BlockSize))
	if o.CDROM {
		d.has = multimedia | removable
	} else {
		d.has = d.directAbilities()
	}
	d.rows = rows(commands, d.has)
	d.listed = withKernelCommands(d.rows)
	if o.Direct {
		d.rows = slices.DeleteFunc(d.listed, func(r row) bool { return r.run == nil })
		d.listed = d.rows
	}
	for i, r := range d.rows {
		if n := len(d.lookup[r.op]); n > 0 {
			d.lookup[r.op] = d.rows[i-n : i+1]
		} else {
			d.lookup[r.op] = d.rows[i : i+1]
		}
	}
	return d
}

// directAbilities returns what the disk has as a direct-access block device.
func (d *Disk) directAbilities() ability {
	has := directAccess
	if _, ok := d.store.(io.WriterAt); ok {
		has |= writable
		d.mode.writeThrough.Store(d.WriteThrough)
	}
	if _, ok := d.store.(backstores.Trimmer); ok {
		has |= thin
	}
	if d.Removable {
		has |= removable
	}
	return has
}

// Close stops a SANITIZE that is still running. The store must stay open until
// Close returns.
func (d *Disk) Close() {
	d.sanitizer.stop.Store(true)
	d.sanitizer.background.Wait()
}

// TaskManagement takes note of a task management function: an abort or, with
// reset, a LOGICAL UNIT RESET (SAM-6, Task management functions). Aborted
// commands still run to their end. Only SANITIZE takes so long that it is
// completed early; the operation itself continues.
func (d *Disk) TaskManagement(reset bool) {
	d.managed.Add(1) // first: see sanitize
	d.sanitizer.release()
	if reset {
		d.medium.allow()
	}
}

// shared reports whether the state of the unit is that of other initiators too.
func (d *Disk) shared() bool { return d.Shared != nil && d.Shared() }

// extent returns the bytes of a range of blocks as an offset and a length.
func (d *Disk) extent(lba, blocks uint64) (off, n int64, err error) {
	if all := d.blocks.Load(); lba > all || blocks > all-lba {
		return 0, 0, lbaOutOfRange.withInfo(lba)
	}
	return int64(lba) * int64(d.BlockSize), int64(blocks) * int64(d.BlockSize), nil
}
