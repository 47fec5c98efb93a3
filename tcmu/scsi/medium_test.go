package scsi

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	eject, load = "1b 00 00 00 02 00", "1b 00 00 00 03 00"
	stop, start = "1b 00 00 00 00 00", "1b 00 00 00 01 00"
	prevent     = "1e 00 00 00 01 00"
	allow       = "1e 00 00 00 00 00"
	isReady     = "00 00 00 00 00 00"
)

func TestMediumCanBeEjectedAndLoaded(t *testing.T) {
	u := newUnit("removable", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "ready", cdb: isReady},
		{name: "loading a loaded medium raises no unit attention", cdb: load},
		{name: "still ready", cdb: isReady},
		{name: "eject", cdb: eject},
	})
	if !slices.Equal(u.calls, []string{"flush 0 at 0"}) {
		t.Errorf("store calls of eject: %q, want one flush", u.calls)
	}
	u.calls = nil
	const gone = "2/3a/00"
	testExchanges(t, u.Disk, []exchange{
		{name: "not ready", cdb: isReady, fail: gone},
		{name: "REQUEST SENSE", cdb: "03 00 00 00 12 00", want: "70 00 02 00000000 0a 00000000 3a00 00 000000"},
		{name: "INQUIRY succeeds", cdb: "12 00 00 0005 00", want: "00 80 06 12 5b"},
		{name: "MODE SENSE(6) succeeds", cdb: "1a 08 0a 00 04 00", want: "0f 00 10 00"},
		{name: "REPORT SUPPORTED OPERATION CODES succeeds", cdb: "a3 0c 01 00 0000 00000004 00 00", want: "00 03 0006"},
		{name: "a bad CDB fails as such", cdb: "28 20 00000000 00 0001 00", fail: "5/24/00 cdb 1.5"},
		{name: "start without medium", cdb: start, fail: gone},
		{name: "still not ready", cdb: isReady, fail: gone},
		{name: "eject again", cdb: eject},
		{name: "load", cdb: load},
		{name: "ready, without unit attention", cdb: isReady},
		{name: "READ(10)", cdb: "28 00 00000000 00 0000 00"},
	})
	if len(u.calls) != 1 { // the flush of the second eject
		t.Errorf("store calls %q", u.calls)
	}
}

func TestMediumCommandsFailWithoutMedium(t *testing.T) {
	u := newUnit("removable", 512)
	execute(t, u.Disk, unhex(eject))
	u.calls = nil
	for _, row := range u.rows {
		if row.attrs&media == 0 {
			continue
		}
		cdb := row.emptyCDB()
		if _, why := execute(t, u.Disk, cdb, stale(512)); why != "2/3a/00" {
			t.Errorf("%s: sense data %q", row.name, why)
		}
		if r, err := u.Execute(cdb, [][]byte{stale(512)}, false); err == nil {
			if why := checkResult(t, r, 512); why != "2/3a/00" {
				t.Errorf("%s without wait: sense data %q", row.name, why)
			}
		}
	}
	if len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
	for _, name := range []string{"READ(10)", "WRITE(16)", "TEST UNIT READY", "READ CAPACITY(10)", "READ CAPACITY(16)", "UNMAP",
		"COMPARE AND WRITE", "GET LBA STATUS", "VERIFY(12)", "WRITE SAME(10)", "PRE-FETCH(10)", "SYNCHRONIZE CACHE(10)", "SYNCHRONIZE CACHE(16)"} {
		if i := slices.IndexFunc(u.rows, func(r row) bool { return r.name == name }); i < 0 || u.rows[i].attrs&media == 0 {
			t.Errorf("%s is not a medium command", name)
		}
	}
}

func TestRemovalCanBePrevented(t *testing.T) {
	u := newUnit("removable", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "allow while allowed", cdb: allow},
		{name: "prevent", cdb: prevent},
		{name: "MEDIUM REMOVAL PREVENTED", cdb: eject, fail: "5/53/02"},
		{name: "still ready", cdb: isReady},
		{name: "stop is not a removal", cdb: stop},
		{name: "eject while stopped", cdb: eject, fail: "5/53/02"},
		{name: "start", cdb: start},
		{name: "loading a loaded medium is not a removal", cdb: load},
		{name: "ready again", cdb: isReady},
		{name: "prevent twice", cdb: prevent},
		{name: "allow once", cdb: allow},
		{name: "eject", cdb: eject},
		{name: "ejected", cdb: isReady, fail: "2/3a/00"},
		{name: "prevent while ejected", cdb: prevent},
		{name: "load while prevented", cdb: load, fail: "5/53/02"},
		{name: "still ejected", cdb: isReady, fail: "2/3a/00"},
		{name: "allow again", cdb: allow},
		{name: "load", cdb: load},
		{name: "PREVENT of older standards", cdb: "1e 00 00 00 02 00", fail: "5/24/00 cdb 4.1"},
	})
}

// Nexuses that appear after the command do not prolong it.
func TestPreventionEndsWithItsNexuses(t *testing.T) {
	u := newUnit("removable", 512)
	var here []string
	u.Nexuses = func() func() bool {
		then := slices.Clone(here)
		return func() bool {
			return slices.ContainsFunc(then, func(name string) bool { return slices.Contains(here, name) })
		}
	}
	for _, x := range []struct {
		here []string
		cdb  string
		fail string
	}{
		{[]string{"one", "two"}, prevent, ""},
		{[]string{"one", "two"}, eject, "5/53/02"},
		{[]string{"two", "three"}, eject, "5/53/02"},
		{[]string{"three"}, eject, ""},
		{[]string{"three"}, prevent, ""}, // while ejected
		{[]string{"three"}, load, "5/53/02"},
		{[]string{"four"}, load, ""},
		{[]string{"four"}, prevent, ""},
		{[]string{"four", "five"}, prevent, ""}, // by any of them
		{[]string{"five"}, eject, "5/53/02"},
		{[]string{"five"}, allow, ""},
		{[]string{"five"}, eject, ""},
	} {
		here = x.here
		if _, why := execute(t, u.Disk, unhex(x.cdb)); why != x.fail {
			t.Errorf("CDB %s with nexuses %v: sense data %q, want %q", x.cdb, x.here, why, x.fail)
		}
	}
}

// A reset, in particular, must not wait for them.
func TestPreventersAreCalledWithoutTheLock(t *testing.T) {
	u := newUnit("removable", 512)
	u.Nexuses = func() func() bool {
		return func() bool {
			u.TaskManagement(true) // would deadlock with the lock held
			return true
		}
	}
	testExchanges(t, u.Disk, []exchange{
		{name: "prevent", cdb: prevent},
		{name: "eject", cdb: eject, fail: "5/53/02"},
		{name: "eject, after the reset", cdb: eject},
	})
}

func TestFailedFlushPreventsEject(t *testing.T) {
	u := newUnit("removable", 512)
	u.fails["flush"] = unix.EIO
	testExchanges(t, u.Disk, []exchange{
		{name: "eject", cdb: eject, fail: "4/0c/00"},
		{name: "ready", cdb: isReady},
	})
}

func TestOnlyResetAllowsRemoval(t *testing.T) {
	u := newUnit("removable", 512)
	execute(t, u.Disk, unhex(prevent))
	u.TaskManagement(false)
	testExchanges(t, u.Disk, []exchange{{name: "eject", cdb: eject, fail: "5/53/02"}})
	u.TaskManagement(true)
	testExchanges(t, u.Disk, []exchange{{name: "eject, after a reset", cdb: eject}})
}

// raiseAttention establishes a unit attention condition, even on a removable
// disk.
func (u *unit) raiseAttention() {
	u.medium.raise(capacityChanged)
	u.medium.refresh(&u.sanitizer)
}

// The command is not executed. INQUIRY is, and leaves the condition; REQUEST
// SENSE returns it as data.
func TestNextCommandReportsUnitAttention(t *testing.T) {
	u := newUnit("removable", 512)
	for _, row := range u.rows {
		u.raiseAttention()
		u.calls = nil
		cdb := row.emptyCDB()
		if row.op == 0x03 {
			const attention = "70 00 06 00000000 0a 00000000 2a09 00 000000"
			testExchanges(t, u.Disk, []exchange{{name: "REQUEST SENSE", cdb: "03 00 00 00 12 00", want: attention}, {name: "reported once", cdb: isReady}})
			continue
		}
		if row.op == 0x12 {
			if _, why := execute(t, u.Disk, cdb, stale(512)); why != "" {
				t.Errorf("%s: sense data %q", row.name, why)
			}
			if _, why := execute(t, u.Disk, unhex(isReady)); why != "6/2a/09" {
				t.Errorf("%s, then TEST UNIT READY: sense data %q", row.name, why)
			}
			continue
		}
		if _, why := execute(t, u.Disk, cdb, stale(512)); why != "6/2a/09" {
			t.Errorf("%s: sense data %q", row.name, why)
		}
		if len(u.calls) > 0 {
			t.Errorf("%s: store calls %q", row.name, u.calls)
		}
		if _, why := execute(t, u.Disk, unhex(isReady)); why != "" {
			t.Errorf("%s, then TEST UNIT READY: sense data %q", row.name, why)
		}
	}
}

// Execute must not clear the condition if it returns ErrWouldBlock.
func TestUnitAttentionIsReportedOnceIfCommandWaits(t *testing.T) {
	u := newUnit("removable", 512)
	u.raiseAttention()
	cdb := unhex("2f 00 00000000 00 0001 00")
	r, err := u.Execute(cdb, nil, false)
	why := ""
	if err == nil {
		why = checkResult(t, r, 0)
	} else {
		_, why = execute(t, u.Disk, cdb)
	}
	if why != "6/2a/09" {
		t.Errorf("sense data %q", why)
	}
	if _, why := execute(t, u.Disk, cdb); why != "" {
		t.Errorf("then %q", why)
	}
}
