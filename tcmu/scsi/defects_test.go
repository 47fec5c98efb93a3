package scsi

import "testing"

func TestReadDefectData(t *testing.T) {
	u := newUnit("thin", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "(10)", cdb: "37 00 00 00000000 00ff 00", want: "00 00 0000"},
		{name: "(10) PLIST, long block format", cdb: "37 00 13 00000000 00ff 00", want: "00 13 0000"},
		{name: "(10) GLIST, physical sector format", cdb: "37 00 0d 00000000 00ff 00", want: "00 0d 0000"},
		{name: "(10) both", cdb: "37 00 18 00000000 0004 00", want: "00 18 0000"},
		{name: "(10) truncated", cdb: "37 00 18 00000000 0002 00", want: "00 18"},
		{name: "(10) allocation length 0", cdb: "37 00 18 00000000 0000 00"},
		{name: "(10) reserved bit", cdb: "37 00 20 00000000 00ff 00", fail: "5/24/00 cdb 2.5"},
		{name: "(12)", cdb: "b7 00 00000000 000000ff 00 00", want: "00 00 0000 00000000"},
		{name: "(12) both, long block format", cdb: "b7 1b 00000000 000000ff 00 00", want: "00 1b 0000 00000000"},
		{name: "(12) truncated", cdb: "b7 1b 00000000 00000005 00 00", want: "00 1b 0000 00"},
		{name: "(12) allocation length that is negative in 32 bits", cdb: "b7 00 00000000 ffffffff 00 00", want: "00 00 0000 00000000"},
		{name: "(12) allocation length 0", cdb: "b7 1b 00000000 00000000 00 00"},
	})
	if len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
}
