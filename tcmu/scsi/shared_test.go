package scsi

import (
	"strings"
	"testing"
)

// What one initiator sends does not stop the unit of others, make it read-only, or
// change the format of their sense data. Alone it may.
func TestSharedUnitIsNotChangedForOthers(t *testing.T) {
	const isWritable = "2a 00 00000000 00 0001 00"
	block := strings.Repeat("00", 512)
	for _, tt := range []struct {
		name, cdb, out string
		alone, shared  string // sense data
		then           string // of a WRITE after it, alone
	}{
		{"STOP", "1b 00 00 00 00 00", "", "", "", "2/04/02"},
		{"SWP", "15 10 00 00 10 00", "00000000 0a0a0010 08 00 00 00 ffff 0000", "", "5/26/00 list 8", "7/27/02"},
		{"D_SENSE", "15 10 00 00 10 00", "00000000 0a0a0410 00 00 00 00 ffff 0000", "", "5/26/00 list 6", ""},
		{"EJECT", "1b 00 00 00 02 00", "", "", "", "2/3a/00"},
	} {
		for _, shared := range []bool{false, true} {
			u := newUnit("removable", 512)
			u.Shared = func() bool { return shared }
			want, then := tt.alone, tt.then
			if shared {
				want = tt.shared
				if tt.name != "EJECT" {
					then = ""
				}
			}
			if _, why := execute(t, u.Disk, unhex(tt.cdb), unhex(tt.out)); why != want {
				t.Errorf("%s, shared %v: sense data %q, want %q", tt.name, shared, why, want)
			}
			if _, why := execute(t, u.Disk, unhex(isWritable), unhex(block)); why != then {
				t.Errorf("%s, shared %v, then WRITE(10): sense data %q, want %q", tt.name, shared, why, then)
			}
		}
	}
}

func TestFabricsLimitIsReported(t *testing.T) {
	u := newUnit("thin", 4096)
	u.MostBytes = 2047 * 4096
	if n := limits(t, u.Disk).transfer; n != 2047 {
		t.Errorf("MAXIMUM TRANSFER LENGTH is %d", n)
	}
}
