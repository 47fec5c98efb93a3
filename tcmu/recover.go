package tcmu

import (
	"fmt"
	"unsafe"
)

// Recover makes a ring usable whose last server was killed. Call it after Open
// and before Serve. requeue must have the kernel take all commands off the ring
// and send them again (reset_ring=1 in configfs). Recover reports whether there
// were any: commands that may have been executed and not completed.
//
// A killed server may have overwritten entries: a response goes into the oldest
// entry, whichever command it is for. So the entries between tail and head are
// not those that the kernel waits for, and a second completion of a command
// would break the ring. Only a reset makes both sides agree again. Before that,
// the kick completes the commands whose responses the kernel has and has not
// looked at: they must not be executed twice.
func (d *Device) Recover(requeue func() error) (pending bool, err error) {
	if err := d.uio.kick(); err != nil {
		return false, fmt.Errorf("%s: %w", d.name, err)
	}
	pending = d.ring.mb.head.Load() != d.ring.mb.tail.Load()
	if err := requeue(); err != nil {
		return pending, err
	}
	if d.ring, err = newRing(d.mem); err != nil {
		err = fmt.Errorf("%s: %w", d.name, err)
	}
	return pending, err
}

// Fence returns a function that makes Serve take no more commands and complete
// none, so that another may reset the ring. The function may be called at any
// time, even if Serve hangs, or has returned and the device is closed.
func (d *Device) Fence() (fence func()) { return d.ring.fence }

// fence replaces the mailbox by one that nobody else sees.
func (r *ring) fence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mb = new(mailbox)
	r.mb.head.Store(r.next)
	r.mb.tail.Store(r.tail)
}

// Spare returns bytes of the mailbox that nothing else uses. They are zero in a
// new device, and last as long as the device does: a server can leave a note
// there for the one that recovers the ring after it was killed.
func (d *Device) Spare() []byte {
	if d.ring.base < uint64(unsafe.Sizeof(mailbox{})) {
		return nil // of a kernel whose mailbox is smaller
	}
	return d.ring.mb.spare[:]
}
