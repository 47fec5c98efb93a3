package scsi

import (
	"sync"
	"sync/atomic"
)

// A medium is the state of the disk's medium, and of the unit that it is in.
// It is safe for concurrent use.
type medium struct {
	// odd is false when the medium is ready and there is nothing to tell, so
	// that most commands need not look further. It may be true for longer.
	odd atomic.Bool

	mu      sync.Mutex
	stopped bool
	ejected bool
	keepers func() bool // whether one is left of those who may have prevented its removal; nil if nobody has
	pending error       // a unit attention condition
}

// refresh sets odd after a change of m or s.
func (m *medium) refresh(s *sanitizing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.odd.Store(m.stopped || m.ejected || m.pending != nil || s.running.Load() || s.failed.Load())
}

// ready says why no command of the medium can be answered.
func (m *medium) ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ejected:
		return noMedium
	case m.stopped:
		return needsStart
	}
	return nil
}

// attention returns what the initiator has to be told before the next command,
// once (SAM-6, Unit attention conditions). The ring does not tell one
// initiator from another, so that only the first to come hears of it.
func (m *medium) attention() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	pending := m.pending
	m.pending = nil
	return pending
}

// raise has initiators told of s.
func (m *medium) raise(s Sense) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = s
}

// allow ends the prevention of removal.
func (m *medium) allow() { m.prevent(nil) }

func (m *medium) prevent(keepers func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keepers = keepers
}

// prevented tells whether removal is prevented. It asks the keepers without the
// lock, as that may take a moment.
func (m *medium) prevented() bool {
	m.mu.Lock()
	keepers := m.keepers
	m.mu.Unlock()
	return keepers != nil && keepers()
}

// preventAllow is SPC-5, PREVENT ALLOW MEDIUM REMOVAL command. There is one
// state for all initiators, as the ring does not tell them apart. It ends with
// the nexus that asked for it, so at the latest when all have gone that there
// were then.
func (d *Disk) preventAllow(r request) (int, error) {
	switch {
	case r.cdb[4]&1 == 0:
		d.medium.allow()
	case d.Nexuses == nil:
		d.medium.prevent(func() bool { return true })
	default:
		d.medium.prevent(d.Nexuses())
	}
	return 0, nil
}

// startStop is SBC-4, START STOP UNIT command. A stopped disk answers no
// medium command, nor does one whose medium is out. There are no power
// conditions.
func (d *Disk) startStop(r request) (int, error) {
	start, eject := r.cdb[4]&0x01 != 0, r.cdb[4]&0x02 != 0
	switch {
	case r.cdb[4]&0xf0 != 0:
		return 0, badField(4, 7)
	case eject && d.has&removable == 0:
		return 0, badField(4, 1)
	}
	if noFlush := r.cdb[4]&0x04 != 0; !start && !noFlush && d.has&writable != 0 {
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	m := &d.medium
	prevented := eject && m.prevented()
	defer m.refresh(&d.sanitizing)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case prevented && (!start || m.ejected): // in or out
		return 0, removalPrevented
	case eject:
		// What comes in is what went out, and whoever sent the command knows
		// of it: there is nothing to tell.
		m.ejected = !start
	case m.ejected && start:
		return 0, noMedium
	}
	m.stopped = !start
	return 0, nil
}
