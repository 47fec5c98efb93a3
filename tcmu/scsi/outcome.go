package scsi

import (
	"fmt"
	"math"
	"strings"
)

// statusNames holds the names of SAM-6, Status.
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

// keyNames holds the names of SPC-5, Sense key and additional sense code definitions.
var keyNames = [16]string{
	"NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR",
	"HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT",
	"BLANK CHECK", "VENDOR SPECIFIC", "COPY ABORTED", "ABORTED COMMAND",
	"SENSE KEY Ch", "VOLUME OVERFLOW", "MISCOMPARE", "COMPLETED",
}

// Outcome describes the outcome of a command: "good", "BUSY", or the sense data,
// such as "ILLEGAL REQUEST, INVALID FIELD IN CDB (byte 3, bit 2)". Names are
// those of the standards; codes that this package does not use are numbers.
func Outcome(status byte, sense []byte) string {
	if status == checkCondition && len(sense) > 0 {
		if s, ok := parseSense(sense); ok {
			return s.text()
		}
		return fmt.Sprintf("%s, sense data % x", statusNames[status], sense)
	}
	if name, ok := statusNames[status]; ok {
		return name
	}
	return fmt.Sprintf("status %02xh", status)
}

// text describes s without its cause.
func (s Sense) text() string {
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
