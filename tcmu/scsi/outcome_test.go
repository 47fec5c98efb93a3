package scsi

import (
	"strings"
	"testing"
)

func TestOutcome(t *testing.T) {
	progress := sanitizeInProgress
	progress.Progress, progress.HasProgress = 0x8000, true
	for _, tt := range []struct {
		sense Sense
		want  string
	}{
		{Sense{}, "NO SENSE"},
		{unrecoveredRead.withInfo(123), "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 123)"},
		{writeFault.withInfo(0), "MEDIUM ERROR, WRITE ERROR (lba 0)"},
		{miscompared.withInfo(512), "MISCOMPARE, MISCOMPARE DURING VERIFY OPERATION (offset 512)"},
		{badField(3, 2), "ILLEGAL REQUEST, INVALID FIELD IN CDB (byte 3, bit 2)"},
		{badField(9, 0), "ILLEGAL REQUEST, INVALID FIELD IN CDB (byte 9, bit 0)"},
		{badField(2, -1), "ILLEGAL REQUEST, INVALID FIELD IN CDB (byte 2)"},
		{badParameter(8), "ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST (byte 8)"},
		{progress, "NOT READY, LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS (50 % done)"},
		{badField(2, -1).withInfo(1), "ILLEGAL REQUEST, INVALID FIELD IN CDB (lba 1, byte 2)"},
		{Sense{Key: unitAttention, Code: 0x2907}, "UNIT ATTENTION, 29h/07h"},
		{Sense{Key: 0xb, Code: 0x4b00}, "ABORTED COMMAND, 4bh/00h"},
	} {
		for format, sense := range map[string][]byte{"fixed": tt.sense.fixed(), "descriptor": tt.sense.descriptor()} {
			if got := Outcome(checkCondition, sense); got != tt.want {
				t.Errorf("%s format: %q, want %q", format, got, tt.want)
			}
		}
		if got := tt.sense.Error(); got != tt.want {
			t.Errorf("as an error: %q, want %q", got, tt.want)
		}
	}
	if got := Outcome(checkCondition, lbaOutOfRange.withInfo(1<<40).descriptor()); !strings.HasSuffix(got, "(lba 1099511627776)") {
		t.Errorf("an LBA too large for fixed format: %q", got)
	}
}

func TestOutcomeWithoutSenseData(t *testing.T) {
	for _, tt := range []struct {
		status byte
		sense  string
		want   string
	}{
		{0x00, "", "good"},
		{0x00, "70 00 05 00000000 0a 00000000 2000 00 000000", "good"},
		{0x02, "", "CHECK CONDITION"},
		{0x02, "00 00", "CHECK CONDITION, sense data 00 00"},
		{0x02, "70 00 05 00000000 0a 00000000 20", "CHECK CONDITION, sense data 70 00 05 00 00 00 00 0a 00 00 00 00 20"},
		{0x02, "71 00 03 00000000 0a 00000000 0c00 00 000000", "CHECK CONDITION, sense data 71 00 03 00 00 00 00 0a 00 00 00 00 0c 00 00 00 00 00"}, // deferred
		{0x02, "70 00 05 00000000 0a 00000000 2000", "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE"},
		{0x02, "72 05 2000 000000 ff 00", "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE"},
		{0x02, "72 05 2000 000000 ff 00 0a 80", "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE"},
		{0x08, "", "BUSY"},
		{0x18, "", "RESERVATION CONFLICT"},
		{0x40, "", "TASK ABORTED"},
		{0x22, "", "status 22h"},
	} {
		if got := Outcome(tt.status, unhex(tt.sense)); got != tt.want {
			t.Errorf("%02x, % x: %q, want %q", tt.status, unhex(tt.sense), got, tt.want)
		}
	}
}

// Outcome accepts any bytes, and parseSense decodes what descriptor encodes.
func FuzzOutcome(f *testing.F) {
	for code := range codeNames {
		f.Add(byte(checkCondition), Sense{Key: illegalRequest, Code: code, Field: 8, Bit: 1, HasField: true}.withInfo(7).fixed())
		f.Add(byte(checkCondition), Sense{Key: notReady, Code: code, Progress: 8, HasProgress: true}.withInfo(7).descriptor())
	}
	f.Add(byte(0x40), []byte{})
	f.Fuzz(func(t *testing.T, status byte, sense []byte) {
		text := Outcome(status, sense)
		if text == "" || strings.ContainsAny(text, "\n\t") {
			t.Errorf("%02x, % x: %q", status, sense, text)
		}
		s, ok := parseSense(sense)
		if !ok || status != checkCondition {
			return
		}
		if again, ok := parseSense(s.descriptor()); !ok || again != s {
			t.Errorf("% x: %+v, encoded and parsed again %+v", sense, s, again)
		}
		if s.text() != text {
			t.Errorf("% x: %q and %q", sense, text, s.text())
		}
	})
}
