package scsi

import "encoding/binary"

// inHeader returns the header of parameter data of PERSISTENT RESERVE IN. The caller
// holds the lock.
func (s *reservations) inHeader(length int) []byte {
	b := binary.BigEndian.AppendUint32(nil, s.generation)
	return binary.BigEndian.AppendUint32(b, uint32(length))
}

// replyIn is reply for PERSISTENT RESERVE IN.
func (r request) replyIn(b []byte) (int, error) {
	return r.reply(b, int(binary.BigEndian.Uint16(r.cdb[7:])))
}

// readKeys is SPC-5, PERSISTENT RESERVE IN command, READ KEYS service action.
func (d *Disk) readKeys(r request) (int, error) {
	s := &d.reservations
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.inHeader(8 * len(s.registrations))
	for _, reg := range s.registrations {
		b = binary.BigEndian.AppendUint64(b, reg.key)
	}
	return r.replyIn(b)
}

// readReservation is SPC-5, PERSISTENT RESERVE IN command, READ RESERVATION service
// action.
func (d *Disk) readReservation(r request) (int, error) {
	s := &d.reservations
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kind == 0 {
		return r.replyIn(s.inHeader(0))
	}
	b := s.inHeader(16)
	b = binary.BigEndian.AppendUint64(b, s.holderKey())
	return r.replyIn(append(b, 0, 0, 0, 0, 0, s.kind, 0, 0))
}

// holderKey returns the key of the holder, or 0 if all registrants hold the
// reservation.
func (s *reservations) holderKey() uint64 {
	if i := s.registered(s.owner); i >= 0 && !allRegistrants(s.kind) {
		return s.registrations[i].key
	}
	return 0
}

// reportCapabilities is SPC-5, PERSISTENT RESERVE IN command, REPORT CAPABILITIES
// service action. Registrations do not survive this process.
func (d *Disk) reportCapabilities(r request) (int, error) {
	const crh, atpC = 0x10, 0x04 // RESERVE and RELEASE of holders succeed; one port is all ports
	const tmv, allowed = 0x80, 0x10
	return r.replyIn([]byte{0, 8, crh | atpC, tmv | allowed,
		1<<writeExclusive | 1<<exclusiveAccess | 1<<writeExclusiveRegistrantsOnly | 1<<exclusiveAccessRegistrantsOnly | 1<<writeExclusiveAllRegistrants,
		1 << (exclusiveAccessAllRegistrants - 8), 0, 0})
}

// readFullStatus is SPC-5, PERSISTENT RESERVE IN command, READ FULL STATUS service
// action.
func (d *Disk) readFullStatus(r request) (int, error) {
	s := &d.reservations
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []byte
	for _, reg := range s.registrations {
		list = binary.BigEndian.AppendUint64(list, reg.key)
		list = append(list, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) // relative target port 1
		if s.holds(reg.port) {
			list[len(list)-8] = 0x01 // R_HOLDER
			list[len(list)-7] = s.kind
		}
		id := transportID(reg.port)
		list = binary.BigEndian.AppendUint32(list, uint32(len(id)))
		list = append(list, id...)
	}
	return r.replyIn(append(s.inHeader(len(list)), list...))
}

// transportID is SPC-5, TransportID for initiator ports using SCSI over iSCSI, in the
// format that has the name of the initiator port.
func transportID(port string) []byte {
	name := append([]byte(port), 0)
	for len(name)%4 != 0 || len(name) < 20 {
		name = append(name, 0)
	}
	return append(binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(len(name))), name...)
}
