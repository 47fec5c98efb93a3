package scsi

import "errors"

// A State is what a disk is beyond its options and its store: what initiators
// have set, and what they have not been told yet. Another program that goes on with
// the disk restores it.
type State struct {
	WriteThrough    bool `json:",omitempty"` // of the Caching mode page
	DescriptorSense bool `json:",omitempty"` // of the Control mode page
	SoftwareProtect bool `json:",omitempty"`

	Stopped         bool `json:",omitempty"`
	Ejected         bool `json:",omitempty"`
	Prevented       bool `json:",omitempty"` // removal of the medium
	CapacityChanged bool `json:",omitempty"` // the pending unit attention

	SanitizeFailed      bool `json:",omitempty"`
	FailureExitsAllowed bool `json:",omitempty"`

	Stats Stats
}

// State returns the state of the disk, or an error while a SANITIZE runs: only
// this process can go on with that. No command may run meanwhile.
func (d *Disk) State() (State, error) {
	if d.sanitizer.running.Load() {
		return State{}, errors.New("a SANITIZE is running")
	}
	prevented := d.medium.prevented()
	d.medium.mu.Lock()
	defer d.medium.mu.Unlock()
	return State{
		WriteThrough:        d.mode.writeThrough.Load(),
		DescriptorSense:     d.mode.descriptorSense.Load(),
		SoftwareProtect:     d.mode.softwareProtect.Load(),
		Stopped:             d.medium.stopped,
		Ejected:             d.medium.ejected,
		Prevented:           prevented,
		CapacityChanged:     d.medium.attention != nil,
		SanitizeFailed:      d.sanitizer.failed.Load(),
		FailureExitsAllowed: d.sanitizer.exitAllowed.Load(),
		Stats:               d.Stats(),
	}, nil
}

// Restore gives a new disk a state, before it executes commands. Prevention of
// medium removal lasts until every nexus is gone that exists now.
func (d *Disk) Restore(s State) {
	d.mode.writeThrough.Store(s.WriteThrough && d.has&writable != 0)
	d.mode.descriptorSense.Store(s.DescriptorSense)
	d.mode.softwareProtect.Store(s.SoftwareProtect)
	d.sanitizer.failed.Store(s.SanitizeFailed)
	d.sanitizer.exitAllowed.Store(s.FailureExitsAllowed)
	d.count.add(s.Stats)
	if s.Prevented {
		d.prevent()
	}
	if s.CapacityChanged {
		d.medium.raise(capacityChanged)
	}
	d.medium.mu.Lock()
	d.medium.stopped, d.medium.ejected = s.Stopped, s.Ejected
	d.medium.mu.Unlock()
	d.medium.refresh(&d.sanitizer)
}
