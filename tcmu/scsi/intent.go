package scsi

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lunserve/lunserve/backstores"
)

// An intent is the note of a COMPARE AND WRITE that found its blocks equal and
// writes. The note is in memory that survives this process. If the process is
// killed before the initiator has the status, the command is executed again, by
// the next process; the blocks differ by then, but the status must not be
// MISCOMPARE.
//
// The note in memory is:
//
//	0   1 if it is valid
//	1   1 if commands were sent again since it was made, see Recovered
//	8   LBA
//	16  SHA-256 of the data-out, which is what to compare and what to write
//
// There is memory for one note: a COMPARE AND WRITE writes when the initiator has
// the status of the one before.
type intent struct {
	mem   []byte               // nil: nothing survives
	left  atomic.Pointer[note] // of the process before
	until time.Time

	mu    sync.Mutex           // held from begin to settled
	owner atomic.Pointer[byte] // the CDB of the command that holds mu
}

// A note identifies a command.
type note struct {
	lba  uint64
	data [sha256.Size]byte
}

const noteBytes = 16 + sha256.Size

// repeatTime limits how long the note of the process before is heeded. Initiators
// repeat the command within seconds; Linux gives up after three minutes.
const repeatTime = 5 * time.Minute

// use sets the memory, in which a killed process may have left a note.
func (i *intent) use(mem []byte) {
	if len(mem) < noteBytes {
		return
	}
	i.mem, i.until = mem[:noteBytes], time.Now().Add(repeatTime)
	i.left.Store(i.noted())
}

// noted returns the note in memory, or nil.
func (i *intent) noted() *note {
	if i.mem[0] != 1 {
		return nil
	}
	n := &note{lba: binary.NativeEndian.Uint64(i.mem[8:])}
	copy(n.data[:], i.mem[16:])
	return n
}

// Recovered updates the note in the memory of a disk whose server was killed, when
// all its commands are completed but for those that are pending: they will be sent
// again. If none is pending the note is removed, unless an earlier recovery had the
// command sent again: the server of that may have been killed before it came.
func Recovered(mem []byte, pending bool) {
	switch {
	case len(mem) < noteBytes:
	case pending:
		mem[1] = 1
	case mem[1] == 0:
		mem[0] = 0
	}
}

// begin makes the note of a command before it writes.
func (i *intent) begin(cdb []byte, n note) {
	if i.mem == nil {
		return
	}
	i.mu.Lock()
	i.owner.Store(&cdb[0])
	i.mem[1] = 0
	if left := i.noted(); left != nil && *left == n {
		return // it is repeated, and must not be without a note even for a moment
	}
	i.mem[0] = 0 // half a note is none
	binary.NativeEndian.PutUint64(i.mem[8:], n.lba)
	copy(i.mem[16:], n.data[:])
	i.mem[0] = 1
}

// settled removes the note, if it is that of the command in cdb. The initiator
// has its status.
func (i *intent) settled(cdb []byte) {
	if owner := i.owner.Load(); owner == nil || owner != &cdb[0] {
		return
	}
	i.mem[0] = 0
	i.owner.Store(nil)
	i.mu.Unlock()
}

// wasBegun reports whether the process before was killed while it executed this
// command. When the command has succeeded, left must be nil: the next one like it is
// another one.
func (i *intent) wasBegun(n note) bool {
	left := i.left.Load()
	return left != nil && *left == n && time.Now().Before(i.until)
}

// Settled reports that the initiators have the status of a command that Execute
// was called for with this slice, and wait set.
func (d *Disk) Settled(cdb []byte) { d.intent.settled(cdb) }

// mixes reports whether each part of n bytes of the medium at off that can be
// written at once is as in old or as in fresh: a write of fresh over old was
// interrupted, or is complete.
func (d *Disk) mixes(off, n int64, old, fresh [][]byte) bool {
	const part = 512
	o, f := backstores.NewSegments(old), backstores.NewSegments(fresh)
	defer o.Free()
	defer f.Free()
	for end := off + n; off < end; off += part {
		before, after := o.Next(part), f.Next(part)
		if d.compare(off, part, before) != nil && d.compare(off, part, after) != nil {
			return false
		}
	}
	return true
}

// digest returns the digest of the data-out in bufs.
func digest(bufs [][]byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, b := range bufs {
		h.Write(b)
	}
	h.Sum(sum[:0])
	return sum
}
