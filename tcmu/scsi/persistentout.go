package scsi

import (
	"encoding/binary"
	"slices"
)

// The service actions of PERSISTENT RESERVE OUT.
const (
	prRegister          = 0x00
	prReserve           = 0x01
	prRelease           = 0x02
	prClear             = 0x03
	prPreempt           = 0x04
	prPreemptAndAbort   = 0x05
	prRegisterAndIgnore = 0x06
)

// persistentReserveOut is SPC-5, PERSISTENT RESERVE OUT command. PREEMPT AND ABORT
// aborts nothing, but waits: commands that the unit executes run to their end, except
// UNMAP and WRITE SAME, which end with the slice, and SANITIZE, which cannot be aborted.
// Later ones fail.
func (d *Disk) persistentReserveOut(r request) (int, error) {
	const listLength, aptpl, specIPT = 24, 0x01, 0x08
	if binary.BigEndian.Uint32(r.cdb[5:]) != listLength {
		return 0, listLengthError
	}
	list, err := r.copyOut(listLength)
	if err != nil {
		return 0, err
	}
	if list[20]&(aptpl|specIPT) != 0 { // not supported, see reportCapabilities
		return 0, badParameter(20)
	}
	key, action := binary.BigEndian.Uint64(list), binary.BigEndian.Uint64(list[8:])
	service := serviceAction(r.cdb)
	scope, kind := r.cdb[2]>>4, r.cdb[2]&0xf
	switch service {
	case prReserve, prRelease, prPreempt, prPreemptAndAbort:
		if scope != 0 || kind > exclusiveAccessAllRegistrants || (1<<kind)&0x1ea == 0 {
			return 0, badField(2, -1)
		}
	}
	if err := d.changeReservation(r.nexus, service, kind, key, action); err != nil {
		return 0, err
	}
	if service == prPreemptAndAbort {
		d.tasks.settle()
	}
	return 0, nil
}

// changeReservation performs a service action of PERSISTENT RESERVE OUT.
func (d *Disk) changeReservation(n *unitNexus, service int, kind byte, key, action uint64) error {
	s := &d.reservations
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.update()
	if s.holder != nil && s.holder != n {
		return errReservationConflict
	}
	at := s.registered(n.port)
	if service == prRegister || service == prRegisterAndIgnore {
		return d.register(n, at, key, action, service == prRegisterAndIgnore)
	}
	if at < 0 || s.registrations[at].key != key {
		return errReservationConflict
	}
	switch service {
	case prReserve:
		switch {
		case s.kind == 0:
			s.kind, s.owner = kind, n.port
		case !s.holds(n.port) || s.kind != kind:
			return errReservationConflict
		}
	case prRelease:
		switch {
		case !s.holds(n.port):
		case s.kind != kind:
			return invalidRelease
		default:
			d.endReservation(others(n))
		}
	case prClear:
		d.informRegistered(preempted, others(n))
		s.registrations, s.kind, s.owner = nil, 0, ""
		s.generation++
	default:
		return d.preempt(n, action, kind)
	}
	return nil
}

// register adds, changes or removes the registration of a nexus, which is at an index
// or not there (-1). The caller holds the lock, as do those of the functions below.
func (d *Disk) register(n *unitNexus, at int, key, action uint64, ignore bool) error {
	s := &d.reservations
	switch {
	case at < 0 && key != 0 && !ignore, at >= 0 && s.registrations[at].key != key && !ignore:
		return errReservationConflict
	case at < 0 && action == 0:
		return nil
	case at < 0 && len(s.registrations) >= maxRegistrations:
		return noRegistrations
	case at < 0:
		s.registrations = append(s.registrations, registration{n.port, action})
	case action != 0:
		s.registrations[at].key = action
	default:
		last := len(s.registrations) == 1
		held := s.kind != 0 && (s.owner == n.port && !allRegistrants(s.kind) || allRegistrants(s.kind) && last)
		s.registrations = slices.Delete(s.registrations, at, at+1)
		if held {
			d.endReservation(others(n))
		}
	}
	s.generation++
	return nil
}

// endReservation ends the persistent reservation, and informs those that it admitted
// and that are wanted.
func (d *Disk) endReservation(wanted func(*unitNexus) bool) {
	s := &d.reservations
	if admitsRegistrants(s.kind) {
		d.informRegistered(released, wanted)
	}
	s.kind, s.owner = 0, ""
}

// informRegistered raises a unit attention condition for the nexuses that are
// registered and wanted.
func (d *Disk) informRegistered(sense Sense, wanted func(*unitNexus) bool) {
	d.raise(sense, func(n *unitNexus) bool { return wanted(n) && d.reservations.registered(n.port) >= 0 })
}

// preempt is the service action PREEMPT (SPC-5, Preempting a persistent reservation):
// it removes the registrations with a key, or with a key of zero those of all others
// if all registrants hold the reservation. If the key is the holder's, the nexus takes
// the reservation.
func (d *Disk) preempt(n *unitNexus, action uint64, kind byte) error {
	s := &d.reservations
	all := s.kind != 0 && allRegistrants(s.kind)
	takes := s.kind != 0 && (all && action == 0 || !all && s.holderKey() == action)
	if action == 0 && !all {
		return badParameter(8)
	}
	var gone []string
	s.registrations = slices.DeleteFunc(s.registrations, func(r registration) bool {
		removed := r.port != n.port && (r.key == action || action == 0)
		if removed {
			gone = append(gone, r.port)
		}
		return removed
	})
	if len(gone) == 0 && !takes {
		if own := s.registrations[s.registered(n.port)]; own.key != action {
			return errReservationConflict
		}
	}
	d.raise(unregistered, func(other *unitNexus) bool { return other != n && slices.Contains(gone, other.port) })
	if takes {
		if s.kind != kind && admitsRegistrants(s.kind) {
			d.informRegistered(released, others(n))
		}
		s.kind, s.owner = kind, n.port
	}
	s.generation++
	return nil
}
