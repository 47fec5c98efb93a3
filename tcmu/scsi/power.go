package scsi

// PowerOff has commands that need the medium fail, as long as the store has no power.
// INQUIRY and others still succeed: initiators keep the disk.
func (d *Disk) PowerOff() { d.setPower(true) }

// PowerOn ends that. What lasts no longer than the power is gone: reservations that
// are not persistent and the prevention of medium removal. Initiators are told.
func (d *Disk) PowerOn() {
	d.medium.allow()
	d.nexuses.allow()
	d.reservations.release(nil)
	d.raise(poweredOn, everyone)
	d.setPower(false) // last: the medium is read only after the unit attention is raised
}

func (d *Disk) setPower(off bool) {
	d.medium.mu.Lock()
	d.medium.off = off
	d.medium.mu.Unlock()
	d.medium.refresh(&d.sanitizer)
}
