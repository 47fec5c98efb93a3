package scsi

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Reservations decide which initiators may use a unit. The kernel executes them for
// the disks behind the ring; this is for [Options.Direct].

// A reservations is the state of SPC-2, RESERVE command, and of SPC-5, Persistent
// reservations, of a unit. Its zero value is none. It is safe for concurrent use.
type reservations struct {
	any atomic.Bool // the unit is reserved; it spares most commands the lock

	mu            sync.Mutex
	holder        *unitNexus // of RESERVE; nil: none
	generation    uint32     // PRGENERATION
	registrations []registration
	kind          byte   // the TYPE of the persistent reservation; 0: none
	owner         string // the port that holds it, unless all registrants do
}

// A registration is the key of an initiator port.
type registration struct {
	port string
	key  uint64
}

// maxRegistrations bounds the registrations of a unit. They outlive sessions.
const maxRegistrations = 128

// The types of persistent reservations, SPC-5, Persistent reservation type.
const (
	writeExclusive                 = 1
	exclusiveAccess                = 3
	writeExclusiveRegistrantsOnly  = 5
	exclusiveAccessRegistrantsOnly = 6
	writeExclusiveAllRegistrants   = 7
	exclusiveAccessAllRegistrants  = 8
)

func writesOnly(kind byte) bool {
	return kind == writeExclusive || kind == writeExclusiveRegistrantsOnly || kind == writeExclusiveAllRegistrants
}

func allRegistrants(kind byte) bool {
	return kind == writeExclusiveAllRegistrants || kind == exclusiveAccessAllRegistrants
}

// admitsRegistrants reports whether all registered nexuses may use the unit.
func admitsRegistrants(kind byte) bool { return kind >= writeExclusiveRegistrantsOnly }

// update sets any. The caller holds s.mu and has changed s.
func (s *reservations) update() { s.any.Store(s.holder != nil || s.kind != 0) }

// conflict returns an error if a reservation of another nexus refuses a command. A
// command that has entered Disk.tasks asks again: see settle.
func (d *Disk) conflict(r request) error {
	if d.reservations.any.Load() && r.nexus != nil && d.reservations.refuse(r) {
		return errReservationConflict
	}
	return nil
}

// refuse reports whether a reservation of another nexus refuses a command (SPC-5,
// Persistent reservations, and SBC-4, Reservations).
func (s *reservations) refuse(r request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := r.row
	harmless := row.attrs&anyState != 0 ||
		row.op == opStartStop && r.cdb[4]&0xf1 == 0x01 || // START, no power condition
		row.op == opPrevent && r.cdb[4]&1 == 0
	if s.holder != nil {
		return s.holder != r.nexus && !harmless && row.op != opRelease6 && row.op != opRelease10
	}
	switch {
	case s.kind == 0 || harmless || row.attrs&shares != 0 || s.admits(r.nexus.port):
		return false
	case writesOnly(s.kind):
		return row.attrs&(changes|controls) != 0
	}
	return true
}

// registered returns the index of a port's registration, or -1.
func (s *reservations) registered(port string) int {
	return slices.IndexFunc(s.registrations, func(r registration) bool { return r.port == port })
}

// holds reports whether a port holds the persistent reservation.
func (s *reservations) holds(port string) bool {
	if allRegistrants(s.kind) {
		return s.registered(port) >= 0
	}
	return s.kind != 0 && s.owner == port
}

// admits reports whether the persistent reservation lets a port use the unit freely.
func (s *reservations) admits(port string) bool {
	return s.holds(port) || admitsRegistrants(s.kind) && s.registered(port) >= 0
}

// reserve is SPC-2, RESERVE (6) and (10) command, for the whole unit.
func (d *Disk) reserve(r request) (int, error) {
	s := &d.reservations
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.registrations) > 0 {
		return 0, s.reservesNothing(r.nexus)
	}
	s.holder = r.nexus
	s.update()
	return 0, nil
}

// release is SPC-2, RELEASE (6) and (10) command.
func (d *Disk) release(r request) (int, error) {
	s := &d.reservations
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.registrations) > 0 {
		return 0, s.reservesNothing(r.nexus)
	}
	s.drop(r.nexus)
	return 0, nil
}

// reservesNothing is what RESERVE and RELEASE do on a unit with registrations: they
// succeed for those whom the persistent reservation admits (SPC-5, Exceptions to SPC-2
// RESERVE and RELEASE behavior).
func (s *reservations) reservesNothing(n *unitNexus) error {
	if s.admits(n.port) {
		return nil
	}
	return errReservationConflict
}

// release ends the reservation of RESERVE of a nexus or, if that is nil, of any.
func (s *reservations) release(n *unitNexus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(n)
}

// drop is release with the lock held.
func (s *reservations) drop(n *unitNexus) {
	if n == nil || s.holder == n {
		s.holder = nil
		s.update()
	}
}
