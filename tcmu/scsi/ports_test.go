package scsi

import (
	"bytes"
	"testing"
)

func TestTargetPortGroups(t *testing.T) {
	const all = "0000000c  00 01 0000 00 00 00 01  0000 0001" // active/optimized, the only supported state; one port
	d := newUnit("thin", 512).Disk
	testExchanges(t, d, []exchange{
		{name: "all", cdb: "a3 0a 00 00 0000 00000100 00 00", want: all},
		{name: "truncated", cdb: "a3 0a 00 00 0000 00000004 00 00", want: "0000000c"},
		{name: "allocation length 0", cdb: "a3 0a 00 00 0000 00000000 00 00"},
		{name: "allocation length that is negative in 32 bits", cdb: "a3 0a 00 00 0000 ffffffff 00 00", want: all},
		{name: "extended header", cdb: "a3 2a 00 00 0000 00000100 00 00", fail: "5/24/00 cdb 1.5"},
	})
	// The group and the port are those of VPD page 83h.
	groups := dataIn(t, d, "a3 0a 00 00 0000 00000100 00 00")
	named := map[byte][]byte{}
	for b := dataIn(t, d, "12 01 83 00ff 00")[4:]; len(b) > 0; b = b[4+b[3]:] {
		named[b[1]&0x3f] = b[4 : 4+b[3]]
	}
	if !bytes.Equal(named[0x14][2:], groups[14:16]) {
		t.Errorf("relative target port % x in VPD page 83h, % x in the group", named[0x14], groups[14:16])
	}
	if !bytes.Equal(named[0x15][2:], groups[6:8]) {
		t.Errorf("target port group % x in VPD page 83h, % x here", named[0x15], groups[6:8])
	}
	if tpgs := dataIn(t, d, "12 00 00 0060 00")[5] >> 4 & 3; tpgs != 1 {
		t.Errorf("TPGS is %d", tpgs)
	}
}

func TestReportSupportedTaskManagementFunctions(t *testing.T) {
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "ABORT TASK, LOGICAL UNIT RESET", cdb: "a3 0d 00 00 0000 00000100 00 00", want: "88 00 00 00"},
		{name: "REPD", cdb: "a3 0d 80 00 0000 00000100 00 00", want: "88 00 00 0c 00000000 00000000 00000000"},
		{name: "truncated", cdb: "a3 0d 80 00 0000 00000005 00 00", want: "88 00 00 0c 00"},
		{name: "allocation length 0", cdb: "a3 0d 00 00 0000 00000000 00 00"},
	})
}
