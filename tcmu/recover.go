package tcmu

import (
	"fmt"
	"unsafe"
)

// Recover makes a ring usable whose last server was killed. Call it after Open
// and before Serve. requeue must have the kernel take all commands off the ring
// and send them again (reset_ring=1 in configfs). It is told whether any are
// pending: commands that may have been executed and not completed. What it notes
// of that, it must note first, since this process may be killed as well, and
// nothing is pending between the reset and the moment they are sent again.
//
// A killed server may have overwritten entries: a response goes into the oldest
// entry, whichever command it is for. So the entries between tail and head are
// not those that the kernel waits for, and a second completion of a command
// would break the ring. Only a reset makes both sides agree again. Before that,
// the kick completes the commands whose responses the kernel has and has not
// looked at: they must not be executed twice.
func (d *Device) Recover(requeue func(pending bool) error) error {
	if err := d.uio.kick(); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	if err := requeue(d.ring.mb.head.Load() != d.ring.mb.tail.Load()); err != nil {
		return err
	}
	ring, err := newRing(d.mem)
	if err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	d.ring = ring
	return nil
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
