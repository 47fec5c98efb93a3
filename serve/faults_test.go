package serve

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// A zeroStore reads as zeros.
type zeroStore struct{}

func (zeroStore) Size() int64                            { return 1 << 20 }
func (zeroStore) Close() error                           { return nil }
func (zeroStore) ReadAt(p []byte, _ int64) (int, error)  { clear(p); return len(p), nil }
func (zeroStore) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// misbehaving returns a service with one disk, whose rules have begun, and what it
// prints.
func misbehaving(t *testing.T, rules ...string) (*service, *strings.Builder, *configfs.Undo) {
	t.Helper()
	var said strings.Builder
	var down configfs.Undo
	d := &disk{image: &openedImage{path: "a.img"}, address: address{node: "/dev/sdx"}}
	d.device = &device{unit: scsi.NewDisk(zeroStore{}, scsi.Options{BlockSize: 512})}
	s := &service{disks: []*disk{d}, console: console.New(&said, "lunserve"), options: Options{FaultSeed: 7}}
	s.options.Faults = func() (all []fault.Rule, err error) {
		for _, text := range rules {
			r, err := fault.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		return all, nil
	}
	if err := errors.Join(s.readFaults(), s.startFaults(&down)); err != nil {
		t.Fatal(err)
	}
	return s, &said, &down
}

// unready executes TEST UNIT READY, and returns the status and whether it is held.
func (d *disk) unready() (status byte, held bool) {
	r, err := handler{d.device.unit}.Execute(make([]byte, 6), nil, false)
	return r.Status, err != nil
}

func TestRulesChangeWhileADiskIsServed(t *testing.T) {
	s, said, _ := misbehaving(t, "any every 2: busy")
	d := s.disks[0]
	for i, want := range []byte{0, 8, 0, 8} {
		if status, _ := d.unready(); status != want {
			t.Errorf("command %d: status %#x, want %#x", i, status, want)
		}
	}
	h := host{s}
	for _, tt := range []struct {
		rules  []string
		clear  bool
		status byte
	}{
		{[]string{"any: reservation"}, false, 0x18}, // the first that fits: the fifth command is not busy
		{[]string{"any: task-set-full"}, true, 0x28},
		{nil, true, 0},
	} {
		rules := make([]fault.Rule, len(tt.rules))
		for i, text := range tt.rules {
			rules[i], _ = fault.Parse(text)
		}
		if err := d.misbehave(tt.clear, rules); err != nil {
			t.Error(err)
		}
		if status, _ := d.unready(); status != tt.status {
			t.Errorf("%v: status %#x, want %#x", tt.rules, status, tt.status)
		}
	}
	if _ = d.misbehave(true, []fault.Rule{{Command: fault.Any, Action: fault.Busy}}); d.misbehave(true, make([]fault.Rule, 257)) == nil {
		t.Error("257 rules are accepted")
	} else if all, _ := d.faults.counts(); len(all) != 1 {
		t.Errorf("rules that cannot be added have replaced others: %v", all)
	}
	if err := d.misbehave(true, nil); err != nil {
		t.Error(err)
	}
	if err := h.Fault("a", false, []string{"any: bussy"}); err == nil || hint.Text(err) == "" {
		t.Errorf("a wrong rule: %v", err)
	}
	if title := s.title(); title != "/dev/sdx (4 faults)" { // those of rules that are gone count
		t.Errorf("the status line begins with %s", title)
	}
	if all, seed := d.faults.counts(); len(all) != 0 || seed != 0 {
		t.Errorf("%v, seed %d", all, seed)
	}
	s.console.Close()
	if got, want := said.String(), "lunserve: /dev/sdx: any every 2: busy\nlunserve: --fault-seed 7 repeats the faults\n"; got != want {
		t.Errorf("printed is %q, want %q", got, want)
	}
}

// The kernel waits for commands of a disk that it removes.
func TestNothingWaitsForARuleDuringARemoval(t *testing.T) {
	for _, rule := range []string{"any: busy", "any: task-set-full", "any: ua", "any: hang", "any: delay 1h"} {
		s, _, down := misbehaving(t, rule)
		d := s.disks[0]
		status, held := d.unready()
		if status == 0 && !held {
			t.Errorf("%s: nothing happens", rule)
		}
		if err := down.Close(); err != nil {
			t.Error(err)
		}
		if status, held := d.unready(); status != 0 || held {
			t.Errorf("%s: status %#x, held %v", rule, status, held)
		}
	}
	s, _, _ := misbehaving(t, "any: hang")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := handler{s.disks[0].device.unit}.Execute(make([]byte, 6), nil, false)
		if later, ok := errors.AsType[*tcmu.Later](err); ok {
			<-later.Release
		}
	}()
	for fired(s.disks...) != "1 fault" {
		time.Sleep(time.Millisecond)
	}
	s.calmFaults() // as stop does
	<-done
}

// Rules hold for the target of --userspace as well.
func TestRulesHoldForUserspace(t *testing.T) {
	unit := scsi.NewDisk(zeroStore{}, scsi.Options{BlockSize: 512, Direct: true})
	d := &disk{image: &openedImage{path: "a.img"}, device: &device{unit: unit}}
	d.faults.set = fault.NewSet(1)
	n := directDevice{Target: scsi.NewTarget(unit)}.Attach("port")
	ready := make([]byte, 6)
	if later := n.Judge(0, ready, nil); later != nil {
		t.Error("a command is held without rules")
	}
	if err := d.misbehave(true, []fault.Rule{{Command: fault.Any, Action: fault.Hang}}); err != nil {
		t.Fatal(err)
	}
	_, err := n.Execute(0, ready, nil, false)
	later, ok := errors.AsType[*iscsi.Later](err)
	if !ok || later.After < time.Hour || later.Execute(ready, nil).Status != 0 {
		t.Errorf("a command that hangs: %v", err)
	}
	if later := n.Judge(0, ready, nil); later == nil || later.After < time.Hour {
		t.Error("a command is not held")
	}
	if err := d.misbehave(true, []fault.Rule{{Command: fault.Any, Action: fault.Busy}}); err != nil {
		t.Fatal(err)
	}
	if r, err := n.Execute(0, ready, nil, false); err != nil || r.Status != 8 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A map that cannot be read any more does not keep a disk from being adopted, and a
// disk that is to be removed has no rules.
func TestDisksAreAdoptedWithoutRulesRatherThanNot(t *testing.T) {
	for r, want := range map[role]error{starting: fs.ErrNotExist, succeeding: nil} {
		var said strings.Builder
		s := &service{role: r, console: console.New(&said, "lunserve"), options: Options{Faults: func() ([]fault.Rule, error) { return nil, fs.ErrNotExist }}}
		if err := s.readFaults(); err != want {
			t.Errorf("role %d: %v", r, err)
		}
		s.console.Close()
		if warns := said.String() == "lunserve: warning: the disks do not misbehave: file does not exist\n"; warns != (want == nil) {
			t.Errorf("role %d: printed is %q", r, said.String())
		}
	}
	if o := (Options{Faults: func() ([]fault.Rule, error) { return nil, nil }}).forRemoval(); o.Faults != nil {
		t.Error("a removal has rules")
	}
}
