package scsi

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// statusNames are those of SAM-6, Status.
var statusNames = map[byte]string{
	good:           "good",
	checkCondition: "CHECK CONDITION",
	0x04:           "CONDITION MET",
	0x08:           "BUSY",
	0x18:           "RESERVATION CONFLICT",
	0x28:           "TASK SET FULL",
	0x30:           "ACA ACTIVE",
	0x40:           "TASK ABORTED",
}

// keyNames are those of SPC-5, Sense key and additional sense code definitions.
var keyNames = [16]string{
	"NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR",
	"HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT",
	"BLANK CHECK", "VENDOR SPECIFIC", "COPY ABORTED", "ABORTED COMMAND",
	"SENSE KEY Ch", "VOLUME OVERFLOW", "MISCOMPARE", "COMPLETED",
}

// Outcome is a command's answer in words: "good", "BUSY", or the sense data,
// such as "ILLEGAL REQUEST, INVALID FIELD IN CDB (byte 3, bit 2)". Names are
// those of the standards; codes that no disk of this package gives are numbers.
func Outcome(status byte, sense []byte) string {
	if status == checkCondition && len(sense) > 0 {
		if s, ok := parseSense(sense); ok {
			return s.words()
		}
		return fmt.Sprintf("%s, sense data % x", statusNames[status], sense)
	}
	if name, ok := statusNames[status]; ok {
		return name
	}
	return fmt.Sprintf("status %02xh", status)
}

// words are s without its cause.
func (s Sense) words() string {
	text := keyNames[s.Key&0xf]
	if name, ok := codeNames[s.Code]; ok {
		text += ", " + name
	} else if s.Code != 0 {
		text += fmt.Sprintf(", %02xh/%02xh", s.Code>>8, s.Code&0xff)
	}
	var details []string
	switch {
	case s.HasInfo && s.Key == miscompare:
		details = append(details, fmt.Sprint("offset ", s.Info))
	case s.HasInfo:
		details = append(details, fmt.Sprint("lba ", s.Info))
	}
	if s.HasField {
		field := fmt.Sprint("byte ", s.Field)
		if s.Bit >= 0 {
			field += fmt.Sprint(", bit ", s.Bit)
		}
		details = append(details, field)
	}
	if s.HasProgress {
		details = append(details, fmt.Sprintf("%d %% done", int(s.Progress)*100/(math.MaxUint16+1)))
	}
	if details == nil {
		return text
	}
	return text + " (" + strings.Join(details, ", ") + ")"
}

// parseSense is the reverse of fixed and descriptor, for sense data of current
// errors. It says whether b is that.
func parseSense(b []byte) (s Sense, ok bool) {
	switch {
	case len(b) >= 14 && b[0]&0x7f == 0x70:
		s.Key, s.Code = b[2]&0xf, binary.BigEndian.Uint16(b[12:])
		if b[0]&0x80 != 0 { // VALID
			s = s.at(uint64(binary.BigEndian.Uint32(b[3:])))
		}
		if len(b) >= 18 {
			s.parseSpecific(b[15:])
		}
		return s, true
	case len(b) >= 8 && b[0]&0x7f == 0x72:
		s.Key, s.Code = b[1]&0xf, binary.BigEndian.Uint16(b[2:])
		for d := b[8:]; len(d) >= 2 && len(d) >= 2+int(d[1]); d = d[2+int(d[1]):] {
			switch {
			case d[0] == 0x00 && d[1] == 0x0a && d[2]&0x80 != 0:
				s = s.at(binary.BigEndian.Uint64(d[4:]))
			case d[0] == 0x02 && d[1] == 0x06:
				s.parseSpecific(d[4:])
			}
		}
		return s, true
	}
	return s, false
}

// parseSpecific is the reverse of specific, whose meaning is up to the key.
func (s *Sense) parseSpecific(b []byte) {
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
