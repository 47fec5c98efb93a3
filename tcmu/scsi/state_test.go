package scsi

import "testing"

// Initiators do not notice that another program goes on with the disk.
func TestStateIsRestored(t *testing.T) {
	const (
		senseCaching = "1a 08 08 00 ff 00"
		senseControl = "1a 08 0a 00 ff 00"
		swp          = "15 10 00 00 10 00"
	)
	u := newUnit("removable", 512)
	execute(t, u.Disk, unhex(swp), unhex("00000000 0a0a0410 08000000 ffff0000"))
	execute(t, u.Disk, unhex("15 10 00 00 18 00"), unhex("00000000 08120000 00000000 00000000 00000000 00000000"))
	execute(t, u.Disk, unhex(prevent))
	execute(t, u.Disk, unhex(stop))
	s, err := u.State()
	if err != nil {
		t.Fatal(err)
	}
	s.Stats.Reads = 5
	next := newUnit("removable", 512)
	next.Restore(s)
	if got, err := next.State(); err != nil || got != s {
		t.Errorf("restored is %+v, %v, was %+v", got, err, s)
	}
	if !s.WriteThrough || !s.DescriptorSense || !s.SoftwareProtect || !s.Stopped || !s.Prevented {
		t.Errorf("the state is %+v", s)
	}
	for _, sense := range []string{senseCaching, senseControl} {
		a, b := make([]byte, 255), make([]byte, 255)
		execute(t, u.Disk, unhex(sense), a)
		execute(t, next.Disk, unhex(sense), b)
		if string(a) != string(b) {
			t.Errorf("%s: % x, was % x", sense, b, a)
		}
	}
	testExchanges(t, next.Disk, []exchange{
		{name: "eject", cdb: eject, fail: "5/53/02"},
		{name: "ready", cdb: isReady, fail: "2/04/02"},
	})
}

func TestCapacityChangeIsStillReported(t *testing.T) {
	u := newUnit("thin", 512)
	u.CapacityChanged()
	s, err := u.State()
	if err != nil {
		t.Fatal(err)
	}
	next := newUnit("thin", 512)
	next.Restore(s)
	testExchanges(t, next.Disk, []exchange{
		{name: "first", cdb: isReady, fail: "6/2a/09"},
		{name: "then", cdb: isReady},
	})
}

// Only this process can go on with a SANITIZE.
func TestRunningSanitizeHasNoState(t *testing.T) {
	u := newUnit("thin", 512)
	u.sanitizer.running.Store(true)
	if _, err := u.State(); err == nil {
		t.Error("no error")
	}
}
