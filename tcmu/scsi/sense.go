package scsi

import (
	"encoding/binary"
	"errors"
	"math"
)

// Sense is the reason a command failed (SPC-5, Sense data). It is an error, so
// that commands fail the way other Go functions do; [Disk.Execute] alone turns
// it into bytes.
type Sense struct {
	Key  byte
	Code uint16 // additional sense code, its qualifier in the low byte

	// Info is the INFORMATION field, an LBA or an offset, where HasInfo.
	Info    uint64
	HasInfo bool

	// Field points at the byte of the CDB or, where InData, of the parameter
	// list that was refused; Bit is the leftmost bad bit of it or -1.
	Field    uint16
	Bit      int8
	HasField bool
	InData   bool

	// Progress is how far the unit has come with what it is doing, in
	// 65536ths.
	Progress    uint16
	HasProgress bool

	Cause error // what the store said; for logs, not for initiators
}

// The sense keys of SPC-5, Sense key and additional sense code definitions.
const (
	notReady       = 0x02
	mediumError    = 0x03
	hardwareError  = 0x04
	illegalRequest = 0x05
	unitAttention  = 0x06
	dataProtect    = 0x07
	miscompare     = 0x0e
)

// The reasons this disk gives.
var (
	needsStart         = reason(notReady, 0x0402, "LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED")
	sanitizeInProgress = reason(notReady, 0x041b, "LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS")
	noMedium           = reason(notReady, 0x3a00, "MEDIUM NOT PRESENT")
	writeError         = reason(mediumError, 0x0c00, "WRITE ERROR")
	unrecoveredRead    = reason(mediumError, 0x1100, "UNRECOVERED READ ERROR")
	sanitizeFailed     = reason(mediumError, 0x3103, "SANITIZE COMMAND FAILED")
	internalFailure    = reason(hardwareError, 0x4400, "INTERNAL TARGET FAILURE")
	listTooShort       = reason(illegalRequest, 0x0e03, "INVALID FIELD IN COMMAND INFORMATION UNIT")
	listLengthError    = reason(illegalRequest, 0x1a00, "PARAMETER LIST LENGTH ERROR")
	invalidOpcode      = reason(illegalRequest, 0x2000, "INVALID COMMAND OPERATION CODE")
	lbaOutOfRange      = reason(illegalRequest, 0x2100, "LOGICAL BLOCK ADDRESS OUT OF RANGE")
	invalidFieldInCDB  = reason(illegalRequest, 0x2400, "INVALID FIELD IN CDB")
	invalidFieldInList = reason(illegalRequest, 0x2600, "INVALID FIELD IN PARAMETER LIST")
	savingUnsupported  = reason(illegalRequest, 0x3900, "SAVING PARAMETERS NOT SUPPORTED")
	removalPrevented   = reason(illegalRequest, 0x5302, "MEDIUM REMOVAL PREVENTED")
	capacityChanged    = reason(unitAttention, 0x2a09, "CAPACITY DATA HAS CHANGED")
	writeProtected     = reason(dataProtect, 0x2700, "WRITE PROTECTED")
	softwareProtected  = reason(dataProtect, 0x2702, "LOGICAL UNIT SOFTWARE WRITE PROTECTED")
	spaceAllocation    = reason(dataProtect, 0x2707, "SPACE ALLOCATION FAILED WRITE PROTECT")
	miscompared        = reason(miscompare, 0x1d00, "MISCOMPARE DURING VERIFY OPERATION")
)

// codeNames are the names of the codes above.
var codeNames = map[uint16]string{}

// reason is what a command fails with, by the name that SPC-5 has for it.
func reason(key byte, code uint16, name string) Sense {
	codeNames[code] = name
	return Sense{Key: key, Code: code}
}

// errStopped is why a command that outlives its status did not end.
var errStopped = errors.New("stopped before its end")

func (s Sense) Error() string {
	text := s.words()
	if s.Cause != nil {
		text += ": " + s.Cause.Error()
	}
	return text
}

func (s Sense) Unwrap() error { return s.Cause }

// at returns s with n in its INFORMATION field.
func (s Sense) at(n uint64) Sense {
	s.Info, s.HasInfo = n, true
	return s
}

// because returns s with the store's own error in it.
func (s Sense) because(err error) Sense {
	s.Cause = err
	return s
}

// badField refuses a field of the CDB.
func badField(field int, bit int8) Sense {
	s := invalidFieldInCDB
	s.Field, s.Bit, s.HasField = uint16(field), bit, true
	return s
}

// badParameter refuses a field of the parameter list.
func badParameter(field int) Sense {
	s := invalidFieldInList
	s.Field, s.Bit, s.HasField, s.InData = uint16(field), -1, true, true
	return s
}

// specific is the SENSE KEY SPECIFIC field: Field pointer or Progress
// indication sense key specific data.
func (s Sense) specific() (b [3]byte) {
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

// fixed is s in fixed format. An INFORMATION that does not fit its four bytes
// is left out, as the standard has it.
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
	specific := s.specific()
	copy(b[15:], specific[:])
	return b
}

// descriptor is s in descriptor format.
func (s Sense) descriptor() []byte {
	b := []byte{0x72, s.Key, byte(s.Code >> 8), byte(s.Code), 0, 0, 0, 0}
	if s.HasInfo {
		b = append(b, 0x00, 0x0a, 0x80, 0)
		b = binary.BigEndian.AppendUint64(b, s.Info)
	}
	if s.HasField || s.HasProgress {
		specific := s.specific()
		b = append(b, 0x02, 0x06, 0, 0, specific[0], specific[1], specific[2], 0)
	}
	b[7] = byte(len(b) - 8)
	return b
}
