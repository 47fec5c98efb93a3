package scsi

import (
	"encoding/binary"
	"math"
)

// fixed encodes s in fixed format. INFORMATION is omitted if it does not fit
// into four bytes, as SPC-5 requires.
func (s Sense) fixed() []byte {
	b := make([]byte, 18)
	b[0] = 0x70
	if s.HasInfo && s.Info <= math.MaxUint32 {
		b[0] |= 0x80 // VALID
		binary.BigEndian.PutUint32(b[3:], uint32(s.Info))
	}
	b[2] = s.Key
	b[7] = byte(len(b) - 8)
	binary.BigEndian.PutUint16(b[12:], s.Code)
	specific := s.keySpecific()
	copy(b[15:], specific[:])
	return b
}

// descriptor encodes s in descriptor format.
func (s Sense) descriptor() []byte {
	b := []byte{0x72, s.Key, byte(s.Code >> 8), byte(s.Code), 0, 0, 0, 0}
	if s.HasInfo {
		b = append(b, 0x00, 0x0a, 0x80, 0)
		b = binary.BigEndian.AppendUint64(b, s.Info)
	}
	if s.HasField || s.HasProgress {
		specific := s.keySpecific()
		b = append(b, 0x02, 0x06, 0, 0, specific[0], specific[1], specific[2], 0)
	}
	b[7] = byte(len(b) - 8)
	return b
}

// keySpecific encodes the SENSE KEY SPECIFIC field: Field pointer or Progress
// indication sense key specific data.
func (s Sense) keySpecific() (b [3]byte) {
	if !s.HasField && !s.HasProgress {
		return b
	}
	b[0] = 0x80 // SKSV
	if s.HasProgress {
		binary.BigEndian.PutUint16(b[1:], s.Progress)
		return b
	}
	if !s.InData {
		b[0] |= 0x40 // C/D: in the CDB
	}
	if s.Bit >= 0 {
		b[0] |= 0x08 | byte(s.Bit)
	}
	binary.BigEndian.PutUint16(b[1:], s.Field)
	return b
}

// parseSense decodes sense data in either format, and reports whether b is
// sense data of a current error.
func parseSense(b []byte) (s Sense, ok bool) {
	switch {
	case len(b) >= 14 && b[0]&0x7f == 0x70:
		s.Key, s.Code = b[2]&0xf, binary.BigEndian.Uint16(b[12:])
		if b[0]&0x80 != 0 { // VALID
			s = s.withInfo(uint64(binary.BigEndian.Uint32(b[3:])))
		}
		if len(b) >= 18 {
			s.parseKeySpecific(b[15:])
		}
		return s, true
	case len(b) >= 8 && b[0]&0x7f == 0x72:
		s.Key, s.Code = b[1]&0xf, binary.BigEndian.Uint16(b[2:])
		for d := b[8:]; len(d) >= 2 && len(d) >= 2+int(d[1]); d = d[2+int(d[1]):] {
			switch {
			case d[0] == 0x00 && d[1] == 0x0a && d[2]&0x80 != 0:
				s = s.withInfo(binary.BigEndian.Uint64(d[4:]))
			case d[0] == 0x02 && d[1] == 0x06:
				s.parseKeySpecific(d[4:])
			}
		}
		return s, true
	}
	return s, false
}

// parseKeySpecific decodes the SENSE KEY SPECIFIC field. Its format depends on
// the sense key.
func (s *Sense) parseKeySpecific(b []byte) {
	value := binary.BigEndian.Uint16(b[1:])
	switch {
	case b[0]&0x80 == 0: // SKSV
	case s.Key == illegalRequest:
		s.Field, s.Bit, s.HasField, s.InData = value, -1, true, b[0]&0x40 == 0
		if b[0]&0x08 != 0 {
			s.Bit = int8(b[0] & 7)
		}
	case s.Key == notReady:
		s.Progress, s.HasProgress = value, true
	}
}
