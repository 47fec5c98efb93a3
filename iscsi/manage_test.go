package iscsi_test

import (
	"bytes"
	"testing"

	"github.com/lunserve/lunserve/iscsi"
)

func TestAbortedWriteIsNotExecuted(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	for _, tt := range []struct {
		name     string
		function byte
	}{{"ABORT TASK", 1}, {"ABORT TASK SET", 2}, {"CLEAR TASK SET", 4}, {"LOGICAL UNIT RESET", 5}, {"TARGET WARM RESET", 6}} {
		i := dial(t, portal).login("ImmediateData=No")
		tag := i.command(complete|hasData, 512, write10(0, 1), nil)
		r2t := i.read(0x31)
		a := i.manage(tt.function, 0, tag)
		if a.header[2] != 0 {
			t.Errorf("%s: response %d", tt.name, a.header[2])
		}
		i.dataOut(tag, r2t.word(20), 0, 0, true, bytes.Repeat([]byte{1}, 512)) // dropped
		if tt.function >= 5 {
			i.command(complete, 0, make([]byte, 6), nil)
			if _, status, sense := i.readData(); status != 2 || sense[2] != 6 || sense[12] != 0x29 {
				t.Errorf("%s: status %#02x, sense data % x; want a unit attention condition", tt.name, status, sense)
			}
		}
		i.command(complete|wantsData, 512, read10(0, 1), nil)
		if got := i.good(); !bytes.Equal(got, make([]byte, 512)) {
			t.Errorf("%s: it was written", tt.name)
		}
		i.logout()
	}
	i := dial(t, portal).login()
	for _, tt := range []struct {
		function, lun, want byte
	}{{1, 0, 1}, {3, 0, 5}, {5, 9, 2}, {8, 0, 4}, {9, 0, 5}} {
		if a := i.manage(tt.function, tt.lun, 4711); a.header[2] != tt.want {
			t.Errorf("function %d: response %d, want %d", tt.function, a.header[2], tt.want)
		}
	}
}

func TestResetClearsCommandsOfOtherSessions(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	for _, function := range []byte{4, 5, 6} {
		i := dial(t, portal).login("ImmediateData=No")
		other := dial(t, portal)
		other.isid = 2
		other.login()
		tag := i.command(complete|hasData, 512, write10(0, 1), nil)
		r2t := i.read(0x31)
		if a := other.manage(function, 0, 0); a.header[2] != 0 {
			t.Errorf("function %d: response %d", function, a.header[2])
		}
		i.dataOut(tag, r2t.word(20), 0, 0, true, bytes.Repeat([]byte{1}, 512))
		if _, status, sense := i.readData(); status != 2 || sense[2] != 0x0b || sense[12] != 0x2f {
			t.Errorf("function %d: status %#02x, sense data % x", function, status, sense)
		}
		i.command(complete|wantsData, 512, read10(0, 1), nil)
		if got, status, sense := i.readData(); function == 4 && (status != 0 || !bytes.Equal(got, make([]byte, 512))) ||
			function > 4 && (status != 2 || sense[12] != 0x29) {
			t.Errorf("function %d: status %#02x, sense data % x, and perhaps it was written", function, status, sense)
		}
		i.logout()
		other.logout()
	}
}

func (i *initiator) manage(function, lun byte, tag uint32) pdu {
	i.t.Helper()
	var p pdu
	p.header[0], p.header[1], p.header[9] = 0x42, complete|function, lun
	p.set(16, 77)
	p.set(20, tag)
	p.set(24, i.cmdSN)
	i.write(p)
	return i.read(0x22)
}
