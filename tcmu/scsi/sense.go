package scsi

import "errors"

// Sense is the reason that a command failed (SPC-5, Sense data). It is an
// error, so commands fail as other Go functions do; only [Disk.Execute]
// encodes it.
type Sense struct {
	Key  byte
	Code uint16 // additional sense code, with its qualifier in the low byte

	Info    uint64 // the INFORMATION field, an LBA or an offset
	HasInfo bool

	// Field points at a byte of the CDB or, with InData, of the parameter list.
	// Bit is the leftmost bad bit of that byte, or -1.
	Field    uint16
	Bit      int8
	HasField bool
	InData   bool

	Progress    uint16 // of the operation in progress, in 65536ths
	HasProgress bool

	Cause error // the store's error; for logs, not for initiators
}

// The sense keys of SPC-5, Sense key and additional sense code definitions.
const (
	notReady       = 0x02
	mediumError    = 0x03
	hardwareError  = 0x04
	illegalRequest = 0x05
	unitAttention  = 0x06
	dataProtect    = 0x07
	abortedCommand = 0x0b
	miscompare     = 0x0e
)

// The reasons for which commands of this package fail.
var (
	needsStart         = reason(notReady, 0x0402, "LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED")
	noPower            = reason(notReady, 0x0403, "LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED")
	sanitizeInProgress = reason(notReady, 0x041b, "LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS")
	noSuchUnit         = reason(illegalRequest, 0x2500, "LOGICAL UNIT NOT SUPPORTED")
	invalidRelease     = reason(illegalRequest, 0x2604, "INVALID RELEASE OF PERSISTENT RESERVATION")
	noRegistrations    = reason(illegalRequest, 0x5504, "INSUFFICIENT REGISTRATION RESOURCES")
	noMedium           = reason(notReady, 0x3a00, "MEDIUM NOT PRESENT")
	writeFault         = reason(mediumError, 0x0c00, "WRITE ERROR")
	unrecoveredRead    = reason(mediumError, 0x1100, "UNRECOVERED READ ERROR")
	sanitizeFailed     = reason(mediumError, 0x3103, "SANITIZE COMMAND FAILED")
	flushFailed        = reason(hardwareError, 0x0c00, "WRITE ERROR") // see flush
	internalFailure    = reason(hardwareError, 0x4400, "INTERNAL TARGET FAILURE")
	dataOutTooShort    = reason(illegalRequest, 0x0e03, "INVALID FIELD IN COMMAND INFORMATION UNIT")
	listLengthError    = reason(illegalRequest, 0x1a00, "PARAMETER LIST LENGTH ERROR")
	invalidOpcode      = reason(illegalRequest, 0x2000, "INVALID COMMAND OPERATION CODE")
	lbaOutOfRange      = reason(illegalRequest, 0x2100, "LOGICAL BLOCK ADDRESS OUT OF RANGE")
	invalidFieldInCDB  = reason(illegalRequest, 0x2400, "INVALID FIELD IN CDB")
	invalidFieldInList = reason(illegalRequest, 0x2600, "INVALID FIELD IN PARAMETER LIST")
	incompatibleFormat = reason(illegalRequest, 0x3002, "CANNOT READ MEDIUM - INCOMPATIBLE FORMAT")
	savingUnsupported  = reason(illegalRequest, 0x3900, "SAVING PARAMETERS NOT SUPPORTED")
	removalPrevented   = reason(illegalRequest, 0x5302, "MEDIUM REMOVAL PREVENTED")
	illegalMode        = reason(illegalRequest, 0x6400, "ILLEGAL MODE FOR THIS TRACK")
	poweredOn          = reason(unitAttention, 0x2900, "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED")
	wasReset           = reason(unitAttention, 0x2903, "BUS DEVICE RESET FUNCTION OCCURRED")
	modeChanged        = reason(unitAttention, 0x2a01, "MODE PARAMETERS CHANGED")
	preempted          = reason(unitAttention, 0x2a03, "RESERVATIONS PREEMPTED")
	released           = reason(unitAttention, 0x2a04, "RESERVATIONS RELEASED")
	unregistered       = reason(unitAttention, 0x2a05, "REGISTRATIONS PREEMPTED")
	capacityChanged    = reason(unitAttention, 0x2a09, "CAPACITY DATA HAS CHANGED")
	writeProtected     = reason(dataProtect, 0x2700, "WRITE PROTECTED")
	softwareProtected  = reason(dataProtect, 0x2702, "LOGICAL UNIT SOFTWARE WRITE PROTECTED")
	spaceAllocation    = reason(dataProtect, 0x2707, "SPACE ALLOCATION FAILED WRITE PROTECT")
	linkFailed         = reason(abortedCommand, 0x4b03, "ACK/NAK TIMEOUT")
	miscompared        = reason(miscompare, 0x1d00, "MISCOMPARE DURING VERIFY OPERATION")
)

// codeNames holds the names of the codes above.
var codeNames = map[uint16]string{}

// reason returns sense data without details, and records the name that SPC-5
// has for its code.
func reason(key byte, code uint16, name string) Sense {
	codeNames[code] = name
	return Sense{Key: key, Code: code}
}

// errReservationConflict is the error of a command that fails with the status
// RESERVATION CONFLICT, which has no sense data.
var errReservationConflict = errors.New("reservation conflict")

// errStopped is the cause of a SANITIZE that Close stopped.
var errStopped = errors.New("stopped before its end")

func (s Sense) Error() string {
	text := s.text()
	if s.Cause != nil {
		text += ": " + s.Cause.Error()
	}
	return text
}

func (s Sense) Unwrap() error { return s.Cause }

// withInfo returns s with n in its INFORMATION field.
func (s Sense) withInfo(n uint64) Sense {
	s.Info, s.HasInfo = n, true
	return s
}

// withCause returns s with an error of the store.
func (s Sense) withCause(err error) Sense {
	s.Cause = err
	return s
}

// badField returns INVALID FIELD IN CDB for a byte and a bit, or -1.
func badField(field int, bit int8) Sense {
	s := invalidFieldInCDB
	s.Field, s.Bit, s.HasField = uint16(field), bit, true
	return s
}

// badParameter returns INVALID FIELD IN PARAMETER LIST for a byte.
func badParameter(field int) Sense {
	s := invalidFieldInList
	s.Field, s.Bit, s.HasField, s.InData = uint16(field), -1, true, true
	return s
}
