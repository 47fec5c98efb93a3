package scsi

import (
	"sync"
	"sync/atomic"
)

// A medium is the state of the medium and its drive. It is safe for concurrent
// use.
type medium struct {
	// needsCheck is false only if the medium is ready and no unit attention is
	// pending. It spares most commands the lock.
	needsCheck atomic.Bool

	mu         sync.Mutex
	off        bool // there is no power
	stopped    bool
	ejected    bool
	preventers func() bool // reports whether a nexus that may have prevented removal remains; nil if none has
	attention  error       // the pending unit attention condition, or nil
	event      byte        // that no GET EVENT STATUS NOTIFICATION has returned yet
}

// refresh sets needsCheck. Call it after every change of m or s.
func (m *medium) refresh(s *sanitizer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.needsCheck.Store(m.off || m.stopped || m.ejected || m.attention != nil || s.running.Load() || s.failed.Load())
}

// ready returns the reason that medium commands cannot run, or nil.
func (m *medium) ready() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.off:
		return noPower
	case m.ejected:
		return noMedium
	case m.stopped:
		return needsStart
	}
	return nil
}

// unitAttention returns and clears the pending unit attention condition (SAM-6,
// Unit attention conditions). The ring does not identify initiators, so only
// the first to send a command is informed.
func (m *medium) unitAttention() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	pending := m.attention
	m.attention = nil
	return pending
}

// raise establishes a unit attention condition.
func (m *medium) raise(s Sense) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attention = s
}

// prevent prevents removal for as long as preventers returns true.
func (m *medium) prevent(preventers func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.preventers = preventers
}

// allow ends the prevention of removal.
func (m *medium) allow() { m.prevent(nil) }

// prevented reports whether removal is prevented. It calls preventers without
// the lock, as that can take a while.
func (m *medium) prevented() bool {
	m.mu.Lock()
	preventers := m.preventers
	m.mu.Unlock()
	return preventers != nil && preventers()
}

// preventAllow is SPC-5, PREVENT ALLOW MEDIUM REMOVAL command. Prevention has
// to end with the I_T nexus that asked for it. The ring does not identify that
// nexus, so prevention is shared by all initiators and ends at the latest when
// every nexus that existed at the time is gone.
func (d *Disk) preventAllow(r request) (int, error) {
	prevent := r.cdb[4]&1 != 0
	switch {
	case r.nexus != nil:
		r.nexus.prevents.Store(prevent)
		d.medium.prevent(d.nexuses.prevent)
	case !prevent:
		d.medium.allow()
	default:
		d.prevent()
	}
	return 0, nil
}

// prevent prevents medium removal until every nexus that exists now is gone.
func (d *Disk) prevent() {
	if d.Nexuses == nil {
		d.medium.prevent(func() bool { return true })
	} else {
		d.medium.prevent(d.Nexuses())
	}
}

// startStop is SBC-4, START STOP UNIT command. While the unit is stopped or the
// medium ejected, medium commands fail. Power conditions are not supported. One
// initiator cannot stop the unit of others: if they share it, STOP only flushes.
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
	shared := !start && !eject && d.shared()
	defer m.refresh(&d.sanitizer)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case prevented && (!start || m.ejected): // eject, or load what is ejected
		return 0, removalPrevented
	case eject:
		// No unit attention: the medium that is loaded is the one that was
		// ejected, and the initiator that sent the command knows.
		if m.ejected == start {
			m.event = mediaEvent(start)
		}
		m.ejected = !start
	case m.ejected && start:
		return 0, noMedium
	case !start && shared:
		return 0, nil
	}
	m.stopped = !start
	return 0, nil
}
