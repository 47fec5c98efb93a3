package scsi

import (
	"runtime"
	"slices"
	"testing"

	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

const reportLUNs = "a0 00 00 000000 00001000 00 00"

// luns returns those that REPORT LUNS lists.
func (n *Nexus) luns(t *testing.T) (all []int) {
	t.Helper()
	in, why := n.send(t, reportLUNs)
	if why != "" {
		t.Fatal(why)
	}
	for b := in[8:]; len(b) > 0; b = b[8:] {
		all = append(all, int(b[1]))
	}
	return all
}

// ready sends TEST UNIT READY to a unit, and returns the outcome.
func (n *Nexus) ready(t *testing.T, lun int) string {
	t.Helper()
	r, err := n.Execute(uint64(lun)<<48, make([]byte, 6), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status == good {
		return ""
	}
	return formatSense(t, r.Sense)
}

func newDirect(s benchStore) *Disk { return NewDisk(s, Options{BlockSize: 512, Direct: true}) }

func TestInitiatorsAreToldOfUnitsThatComeAndGo(t *testing.T) {
	disk := func() *Disk { return newDirect(make(benchStore, 1<<20)) }
	target := NewTarget(disk(), disk())
	before, idle := target.Attach("before"), target.Attach("idle")
	check := func(what string, luns []int, ready map[int]string) {
		t.Helper()
		for lun, want := range ready {
			for range 2 {
				if got := before.ready(t, lun); got != want {
					t.Errorf("%s: LUN %d: %q, want %q", what, lun, got, want)
				}
				if want != "5/25/00" {
					want = "" // told once
				}
			}
		}
		late := target.Attach("late")
		defer late.Close()
		for _, n := range []*Nexus{before, late} {
			if got := n.luns(t); !slices.Equal(got, luns) {
				t.Errorf("%s: REPORT LUNS: %v, want %v", what, got, luns)
			}
		}
		if got := late.ready(t, luns[0]); got != "" {
			t.Errorf("%s: one who logs in later: %q", what, got)
		}
	}
	target.Add(3, disk())
	check("added", []int{0, 1, 3}, map[int]string{0: "6/3f/0e", 1: "6/3f/0e", 2: "5/25/00", 3: "", 4: "5/25/00"})
	target.Remove(0)
	check("removed", []int{1, 3}, map[int]string{0: "5/25/00", 1: "6/3f/0e", 3: "6/3f/0e"})
	target.Add(0, disk())
	check("added again", []int{0, 1, 3}, map[int]string{0: "", 1: "6/3f/0e", 3: "6/3f/0e"})

	// Who has read the list knows it.
	if got := idle.luns(t); len(got) != 3 {
		t.Errorf("REPORT LUNS: %v", got)
	}
	if got := idle.ready(t, 1); got != "" {
		t.Errorf("after REPORT LUNS: %q", got)
	}

	// A target can be asked for its units at LUN 0 if it has none there.
	target.Remove(0)
	if in, why := before.send(t, "12 00 0000 24 00"); why != "" || in[0] != 0x7f {
		t.Errorf("INQUIRY of no unit: % x, %q", in, why)
	}
	target.Remove(1)
	target.Remove(3)
	if got := before.ready(t, 0); got != "5/25/00" {
		t.Errorf("a target without units: %q", got)
	}
	if out, room := before.Transfer(0, unhex(readOne), 512); out || room != 0 {
		t.Errorf("a target without units transfers %d bytes", room)
	}
	before.Close()
	idle.Close()
}

// A pausedStore reads when it is let go.
type pausedStore struct {
	zeroes       benchStore
	reading, let chan bool
}

func (s pausedStore) Size() int64  { return s.zeroes.Size() }
func (s pausedStore) Close() error { return nil }
func (s pausedStore) ReadAt(p []byte, off int64) (int, error) {
	s.reading <- true
	<-s.let
	return s.zeroes.ReadAt(p, off)
}

// The image of a unit that is gone may be closed.
func TestRemoveWaitsForTheCommandsOfTheUnit(t *testing.T) {
	held := pausedStore{make(benchStore, 1<<20), make(chan bool), make(chan bool)}
	target := NewTarget(newDirect(make(benchStore, 1<<20)), NewDisk(held, Options{BlockSize: 512, Direct: true}))
	n := target.Attach("port")
	ended, removed := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		r, err := n.Execute(1<<48, unhex(readOne), [][]byte{make([]byte, 512)}, true)
		if r.Status != good || err != nil {
			t.Errorf("READ: %+v, %v", r, err)
		}
	}()
	<-held.reading
	go func() {
		defer close(removed)
		target.Remove(1)
	}()
	for n.ready(t, 1) == "" { // until it is not found any more
		runtime.Gosched()
	}
	if got := n.ready(t, 1); got != "5/25/00" {
		t.Errorf("a command that comes meanwhile: %q", got)
	}
	select {
	case <-removed:
		t.Error("it is removed while a command is executed")
	default:
	}
	close(held.let)
	<-removed
	<-ended
	if got := n.ready(t, 0); got != "6/3f/0e" {
		t.Errorf("another unit: %q", got)
	}
	n.Close()
}

// A fault holds a command back, and the unit is removed meanwhile.
func TestCommandThatIsHeldBackIsNotExecutedOnAUnitThatIsGone(t *testing.T) {
	d := newDirect(make(benchStore, 1<<20))
	f := fault.NewSet(1)
	if err := f.Add(fault.Rule{Command: fault.Any, Action: fault.Hang}); err != nil {
		t.Fatal(err)
	}
	d.SetFaults(f)
	target := NewTarget(newDirect(make(benchStore, 1<<20)), d)
	n := target.Attach("port")
	cdb := unhex(readOne)
	_, err := n.Execute(1<<48, cdb, [][]byte{make([]byte, 512)}, false)
	later, ok := err.(*Later)
	if !ok {
		t.Fatalf("not held: %v", err)
	}
	judged := n.Judge(1<<48, cdb, nil)
	target.Remove(1)
	for _, l := range []*Later{later, judged} {
		if r := l.Execute(cdb, [][]byte{make([]byte, 512)}); r.Status != checkCondition || formatSense(t, r.Sense) != "5/25/00" {
			t.Errorf("%+v", r)
		}
	}
}

// Initiators send commands while units come and go.
func TestUnitsComeAndGoUnderLoad(t *testing.T) {
	target := NewTarget(newDirect(make(benchStore, 1<<20)))
	stop := make(chan bool)
	for range 3 {
		go func() {
			n := target.Attach("port")
			defer n.Close()
			for i := 0; ; i++ {
				select {
				case stop <- true:
					return
				default:
				}
				n.Execute(uint64(i%3)<<48, unhex(readOne), [][]byte{make([]byte, 512)}, true)
				if i%5 == 0 {
					n.Close()
					n = target.Attach("port")
				}
			}
		}()
	}
	for range 200 {
		target.Add(1, newDirect(make(benchStore, 1<<20)))
		target.Add(2, newDirect(make(benchStore, 1<<20)))
		target.Remove(1)
		target.Remove(2)
	}
	for range 3 {
		<-stop
	}
}
