package scsi

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestSenseData(t *testing.T) {
	for _, tt := range []struct {
		name       string
		sense      Sense
		fixed      string
		descriptor string
	}{
		{"NO SENSE", Sense{},
			"70 00 00 00000000 0a 00000000 0000 00 000000",
			"72 00 0000 000000 00"},
		{"WRITE PROTECTED", writeProtected,
			"70 00 07 00000000 0a 00000000 2700 00 000000",
			"72 07 2700 000000 00"},
		{"LBA in INFORMATION", unrecoveredRead.withInfo(0x12345678),
			"f0 00 03 12345678 0a 00000000 1100 00 000000",
			"72 03 1100 000000 0c  00 0a 80 00 0000000012345678"},
		{"LBA zero is valid", unrecoveredRead.withInfo(0),
			"f0 00 03 00000000 0a 00000000 1100 00 000000",
			"72 03 1100 000000 0c  00 0a 80 00 0000000000000000"},
		{"the last LBA that fits", lbaOutOfRange.withInfo(math.MaxUint32),
			"f0 00 05 ffffffff 0a 00000000 2100 00 000000",
			"72 05 2100 000000 0c  00 0a 80 00 00000000ffffffff"},
		{"LBA that does not fit is not VALID", lbaOutOfRange.withInfo(math.MaxUint32 + 1),
			"70 00 05 00000000 0a 00000000 2100 00 000000",
			"72 05 2100 000000 0c  00 0a 80 00 0000000100000000"},
		{"pointer at a bit of the CDB", badField(1, 7),
			"70 00 05 00000000 0a 00000000 2400 00 cf0001",
			"72 05 2400 000000 08  02 06 0000 cf0001 00"},
		{"pointer at bit 0 of the CDB", badField(9, 0),
			"70 00 05 00000000 0a 00000000 2400 00 c80009",
			"72 05 2400 000000 08  02 06 0000 c80009 00"},
		{"pointer at a byte of the CDB", badField(2, -1),
			"70 00 05 00000000 0a 00000000 2400 00 c00002",
			"72 05 2400 000000 08  02 06 0000 c00002 00"},
		{"pointer into the parameter list", badParameter(0x108),
			"70 00 05 00000000 0a 00000000 2600 00 800108",
			"72 05 2600 000000 08  02 06 0000 800108 00"},
		{"progress", Sense{Key: notReady, Code: 0x041b, Progress: 0x1234, HasProgress: true},
			"70 00 02 00000000 0a 00000000 041b 00 801234",
			"72 02 041b 000000 08  02 06 0000 801234 00"},
		{"INFORMATION and pointer", badField(2, -1).withInfo(1),
			"f0 00 05 00000001 0a 00000000 2400 00 c00002",
			"72 05 2400 000000 14  00 0a 80 00 0000000000000001  02 06 0000 c00002 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.sense.fixed(); !bytes.Equal(got, unhex(tt.fixed)) {
				t.Errorf("fixed format:\n got % x\nwant % x", got, unhex(tt.fixed))
			}
			if got := tt.sense.descriptor(); !bytes.Equal(got, unhex(tt.descriptor)) {
				t.Errorf("descriptor format:\n got % x\nwant % x", got, unhex(tt.descriptor))
			}
		})
	}
}

func TestSenseCodesMatchTheStandard(t *testing.T) {
	standard := map[string]struct {
		sense Sense
		want  string
	}{
		"LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED": {needsStart, "2/04/02"},
		"LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS":          {sanitizeInProgress, "2/04/1b"},
		"MEDIUM NOT PRESENT":                                   {noMedium, "2/3a/00"},
		"SANITIZE COMMAND FAILED":                              {sanitizeFailed, "3/31/03"},
		"INVALID FIELD IN COMMAND INFORMATION UNIT":            {dataOutTooShort, "5/0e/03"},
		"MEDIUM REMOVAL PREVENTED":                             {removalPrevented, "5/53/02"},
		"LOGICAL UNIT SOFTWARE WRITE PROTECTED":                {softwareProtected, "7/27/02"},
		"WRITE ERROR":                                          {writeFault, "3/0c/00"},
		"UNRECOVERED READ ERROR":                               {unrecoveredRead, "3/11/00"},
		"INTERNAL TARGET FAILURE":                              {internalFailure, "4/44/00"},
		"PARAMETER LIST LENGTH ERROR":                          {listLengthError, "5/1a/00"},
		"INVALID COMMAND OPERATION CODE":                       {invalidOpcode, "5/20/00"},
		"LOGICAL BLOCK ADDRESS OUT OF RANGE":                   {lbaOutOfRange, "5/21/00"},
		"INVALID FIELD IN CDB":                                 {invalidFieldInCDB, "5/24/00"},
		"INVALID FIELD IN PARAMETER LIST":                      {invalidFieldInList, "5/26/00"},
		"SAVING PARAMETERS NOT SUPPORTED":                      {savingUnsupported, "5/39/00"},
		"LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED": {noPower, "2/04/03"},
		"LOGICAL UNIT NOT SUPPORTED":                           {noSuchUnit, "5/25/00"},
		"INVALID RELEASE OF PERSISTENT RESERVATION":            {invalidRelease, "5/26/04"},
		"INSUFFICIENT REGISTRATION RESOURCES":                  {noRegistrations, "5/55/04"},
		"BUS DEVICE RESET FUNCTION OCCURRED":                   {wasReset, "6/29/03"},
		"MODE PARAMETERS CHANGED":                              {modeChanged, "6/2a/01"},
		"RESERVATIONS PREEMPTED":                               {preempted, "6/2a/03"},
		"RESERVATIONS RELEASED":                                {released, "6/2a/04"},
		"REGISTRATIONS PREEMPTED":                              {unregistered, "6/2a/05"},
		"CAPACITY DATA HAS CHANGED":                            {capacityChanged, "6/2a/09"},
		"CANNOT READ MEDIUM - INCOMPATIBLE FORMAT":             {incompatibleFormat, "5/30/02"},
		"ILLEGAL MODE FOR THIS TRACK":                          {illegalMode, "5/64/00"},
		"WRITE PROTECTED":                                      {writeProtected, "7/27/00"},
		"SPACE ALLOCATION FAILED WRITE PROTECT":                {spaceAllocation, "7/27/07"},
		"MISCOMPARE DURING VERIFY OPERATION":                   {miscompared, "e/1d/00"},
		"POWER ON, RESET, OR BUS DEVICE RESET OCCURRED":        {poweredOn, "6/29/00"},
		"ACK/NAK TIMEOUT":                                      {linkFailed, "b/4b/03"},
	}
	if len(standard) != len(codeNames) {
		t.Errorf("%d codes, %d of them in this test", len(codeNames), len(standard))
	}
	for name, tt := range standard {
		if got := codeNames[tt.sense.Code]; got != name {
			t.Errorf("%s has the name %s", name, got)
		}
		if got := formatSense(t, tt.sense.fixed()); got != tt.want {
			t.Errorf("%s is %s in fixed format, want %s", name, got, tt.want)
		}
		if got := formatSense(t, tt.sense.descriptor()); got != tt.want {
			t.Errorf("%s is %s in descriptor format, want %s", name, got, tt.want)
		}
	}
}

func TestSenseIsAnErrorWithItsCause(t *testing.T) {
	cause := errors.New("bad sector")
	var err error = unrecoveredRead.withCause(cause)
	if !errors.Is(err, cause) {
		t.Error("errors.Is does not find the cause")
	}
	if got, want := err.Error(), "MEDIUM ERROR, UNRECOVERED READ ERROR: bad sector"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
