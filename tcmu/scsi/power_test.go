package scsi

import (
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// Without power commands that need the medium fail, and no initiator can change that.
// Then it is as after POWER ON.
func TestDiskWithoutPower(t *testing.T) {
	u := newUnit("removable", 512)
	const none = "2/04/03"
	execute(t, u.Disk, unhex(prevent))
	u.PowerOff()
	testExchanges(t, u.Disk, []exchange{
		{name: "TEST UNIT READY", cdb: isReady, fail: none},
		{name: "READ(10)", cdb: "28 00 00000000 00 0001 00", room: 512, fail: none},
		{name: "SYNCHRONIZE CACHE(10)", cdb: "35 00 00000000 00 0000 00", fail: none},
		{name: "start", cdb: start},
		{name: "still not ready", cdb: isReady, fail: none},
		{name: "REQUEST SENSE", cdb: "03 00 00 00 12 00", want: "70 00 02 00000000 0a 00000000 0403 00 000000"},
		{name: "INQUIRY succeeds", cdb: "12 00 00 0005 00", want: "00 80 06 12 5b"},
	})
	u.PowerOn()
	testExchanges(t, u.Disk, []exchange{
		{name: "power on", cdb: isReady, fail: "6/29/00"},
		{name: "ready", cdb: isReady},
		{name: "nothing prevents removal", cdb: eject},
	})
}

// A command that was begun before the power was cut fails like those after it.
func TestPowerIsCutDuringACommand(t *testing.T) {
	u := newUnit("thin", 512)
	for _, call := range []string{"read", "write", "flush", "trim", "zero"} {
		u.fails[call] = backstores.ErrNoPower
	}
	for _, x := range []exchange{
		{name: "READ(10)", cdb: "28 00 00000000 00 0002 00", room: 1024},
		{name: "WRITE(10)", cdb: "2a 00 00000000 00 0001 00", room: 512},
		{name: "SYNCHRONIZE CACHE(10)", cdb: "35 00 00000000 00 0000 00"},
		{name: "WRITE SAME(16)", cdb: "93 01 0000000000000000 00000008 00 00"},
	} {
		x.fail = "2/04/03"
		testExchanges(t, u.Disk, []exchange{x})
	}
	if len(u.reports) > 0 {
		t.Errorf("reported: %v", u.reports)
	}
}
