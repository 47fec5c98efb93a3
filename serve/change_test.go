package serve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/serve/guard"
)

// One change follows the other, and no program takes over in the middle of one.
func TestDisksDoNotChangeDuringAnotherChange(t *testing.T) {
	for want, s := range map[string]*service{
		"another disk is being added or removed": {changed: make(chan func())},
		"lunserve is being upgraded":             {cancelUpgrade: func() {}},
		"disks of --removable and --cdrom":       {options: Options{Removable: true}},
		"served and removed together":            {options: Options{CDROM: true}},
	} {
		if err := s.mayChange(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		a, b := &disk{device: &device{name: "a"}}, &disk{device: &device{name: "b"}}
		answer := make(chan detached, 1)
		serving(s, a, b).detach(detachment{names: []string{"a"}, force: true, answer: answer})
		if d := <-answer; d.err == nil || !strings.Contains(d.err.Error(), want) || len(s.disks()) != 2 {
			t.Errorf("detach: %s: %v", want, d.err)
		}
		added, over := make(chan added, 1), make(chan struct{})
		s.add(addition{given{handed: &handedOverDisk{Image: -1, Overlay: -1}}, added, over})
		<-over
		if d := <-added; d.err == nil || !strings.Contains(d.err.Error(), want) {
			t.Errorf("add: %s: %v", want, d.err)
		}
	}
	var said strings.Builder
	s := &service{changed: make(chan func()), console: console.New(&said, "lunserve")}
	s.prepareUpgrade()
	s.console.Close()
	if !strings.Contains(said.String(), "not upgraded, the disks stay: a disk is being added or removed") || s.cancelUpgrade != nil {
		t.Errorf("an upgrade: %s", &said)
	}
}

// An initiator may still write what it has of a disk that was removed.
func TestLUNIsUsedAgainOnlyIfNoneIsLeft(t *testing.T) {
	at := func(lun int) *disk { return &disk{lun: lun, down: new(configfs.Undo)} }
	s := serving(new(service), at(0), at(1), at(3))
	if err := s.connect(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if lun := serving(s, at(0)).freeLUN(); lun != 4 {
		t.Errorf("LUN %d", lun)
	}
	s.usesLUN(MaxDisks - 2)
	if lun := s.freeLUN(); lun != MaxDisks-1 {
		t.Errorf("LUN %d before the last is used", lun)
	}
	s.usesLUN(MaxDisks - 1)
	if lun := s.freeLUN(); lun != 1 {
		t.Errorf("LUN %d when all were used", lun)
	}
	kept := forGuard([]given{{LUN: 2}, {LUN: 6, Passing: true}})
	s = successor(Options{}, nil, succeeding, guard.Death{Kept: kept}, nil)
	defer s.ignoreSignals()
	if lun := s.freeLUN(); lun != 7 {
		t.Errorf("LUN %d after a kill", lun)
	}
}

// The LUNs of what a killed lunserve has left do not change.
func TestDisksKeepTheLUNsOfTheirOrphans(t *testing.T) {
	adopts := func(lun, its int) *disk {
		return &disk{lun: lun, orphan: &orphan{Export: configfs.Export{LUNs: []configfs.LUN{{Number: its}}}}}
	}
	for _, tt := range []struct {
		disks []*disk
		want  []int // of the disks in their order
	}{
		{[]*disk{{lun: 0}, {lun: 1}}, []int{0, 1}},
		{[]*disk{adopts(0, 1), adopts(1, 4)}, []int{1, 4}},
		{[]*disk{adopts(0, 1), {lun: 1}}, []int{1, 0}},
		{[]*disk{{lun: 0}, adopts(1, 0), {lun: 2}, adopts(3, 2)}, []int{1, 0, 3, 2}},
		{[]*disk{{lun: 0, orphan: new(orphan)}, adopts(1, 0)}, []int{1, 0}},
	} {
		s := serving(new(service), tt.disks...)
		if err := s.takeLUNs(); err != nil {
			t.Error(err)
		}
		var got []int
		for _, d := range tt.disks {
			got = append(got, d.lun)
		}
		if !slices.Equal(got, tt.want) || !slices.IsSortedFunc(s.disks(), byLUN) {
			t.Errorf("%v, want %v", got, tt.want)
		}
	}
}

func TestOrphansOfTheSameLUNAreNotAdoptedTogether(t *testing.T) {
	at := func(name string) *disk {
		return &disk{orphan: &orphan{Export: configfs.Export{Name: name, LUNs: []configfs.LUN{{Number: 1}}}}}
	}
	err := serving(new(service), at("a"), at("b")).takeLUNs()
	if err == nil || !strings.Contains(err.Error(), "b: cannot be adopted: another orphan is LUN 1 as well") {
		t.Errorf("%v", err)
	}
}

// The ring of another disk that fails meanwhile still ends the service.
func TestAdditionLeavesTheFailureOfAnotherRing(t *testing.T) {
	a, b := new(disk), new(disk)
	failed := make(chan error, 1)
	failed <- &ringError{a, errors.New("no ring")}
	if err := pendingOf(b, failed); err != nil || len(failed) != 1 {
		t.Errorf("another: %v, %d left", err, len(failed))
	}
	if err := pendingOf(a, failed); err == nil || err.Error() != "no ring" || len(failed) != 0 {
		t.Errorf("its own: %v, %d left", err, len(failed))
	}
	if err := pendingOf(a, failed); err != nil {
		t.Errorf("none: %v", err)
	}
}

// A disk that is named twice is one of several.
func TestDiskThatIsNamedTwiceIsNotAll(t *testing.T) {
	s := &service{changed: make(chan func())} // a change is refused, an end is not
	answer := make(chan detached, 1)
	serving(s, &disk{device: &device{name: "a"}}, &disk{device: &device{name: "b"}})
	if end := s.detach(detachment{names: []string{"a", "a"}, force: true, answer: answer}); end.cause != goesOn {
		t.Error("the service ends")
	}
	if d := <-answer; d.err == nil {
		t.Error("both are removed")
	}
}

// An addition may come between the list of disks and the detach of all of it.
func TestEndOfNamedDisksSparesOneThatWasAdded(t *testing.T) {
	s := serving(new(service), &disk{device: &device{name: "a"}}, &disk{device: &device{name: "b"}})
	answer := make(chan detached, 1)
	if end := s.detach(detachment{names: []string{"a"}, whole: true, force: true, answer: answer}); end.cause != goesOn {
		t.Error("the service ends")
	}
	if d := <-answer; d.err == nil || len(s.disks()) != 2 {
		t.Errorf("%v, left are %d disks", d.err, len(s.disks()))
	}
}

func TestRemovalThatFailsIsNotSaidToHaveRemoved(t *testing.T) {
	var said strings.Builder
	a, b := &disk{key: "a", image: &openedImage{path: "a.img", base: zeroStore{}}}, &disk{key: "b"}
	s := serving(&service{down: new(configfs.Undo), console: console.New(&said, "lunserve"), events: newEventLog(false)}, a, b)
	s.down.For("a").Push(func() error { return errors.New("it stays") })
	var got error
	s.remove([]*disk{a}, func(err error) { got = err })
	(<-s.changed)()
	s.console.Close()
	if got == nil || strings.Contains(said.String(), "removed") || !strings.Contains(said.String(), "it stays") {
		t.Errorf("%v, said is %q", got, said.String())
	}
}

// A disk that was being added or removed may not exist.
func TestOnlyImagesThatArePassingNeedNoDisk(t *testing.T) {
	closed := false
	passing := &disk{passing: true, down: new(configfs.Undo)}
	passing.down.Push(func() error { closed = true; return nil })
	firm, gone := &disk{orphan: new(orphan)}, &disk{passing: true, orphan: new(orphan)}
	s := serving(new(service), firm, passing, gone)
	if err := s.mustAdopt(); err != nil || !closed || !slices.Equal(s.disks(), []*disk{firm, gone}) {
		t.Errorf("left are %v, %v; closed: %v", s.disks(), err, closed)
	}
	firm.orphan, firm.image = nil, &openedImage{path: "a.img"}
	if err := s.mustAdopt(); err == nil || err.Error() != "a.img: nothing is left to adopt" {
		t.Errorf("a disk that is missing: %v", err)
	}
}

// Nothing of a disk is touched that is about to be closed.
func TestDiskThatLeavesIsNotResizedAndKeepsItsPower(t *testing.T) {
	s, _, _ := misbehaving(t)
	d := s.disks()[0]
	d.image.cache = nil
	d.gone.Store(true)
	if _, _, err := d.resize(0); err == nil || err.Error() != "a.img: no longer served" {
		t.Errorf("resize: %v", err)
	}
	if err := d.restorePower(); err == nil || err.Error() != "a.img: no longer served" {
		t.Errorf("restorePower: %v", err)
	}
}

// What comes over the socket is checked, and its files are closed if it is refused.
func TestImageFromOutsideIsChecked(t *testing.T) {
	file := func() *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	good := control.Image{Path: "/a", Size: 1 << 20}
	with := func(change func(i *control.Image)) control.Image {
		i := good
		change(&i)
		return i
	}
	for _, tt := range []struct {
		image control.Image
		files int
		want  bool
	}{
		{good, 1, true},
		{with(func(i *control.Image) { i.Overlay = "/o" }), 2, true},
		{good, 0, false},
		{good, 2, false},
		{with(func(i *control.Image) { i.Overlay = "/o" }), 1, false},
		{with(func(i *control.Image) { i.Overlay = "o" }), 2, false},
		{with(func(i *control.Image) { i.Path = "a" }), 1, false},
		{with(func(i *control.Image) { i.Path = "https://host/a" }), 1, false},
		{with(func(i *control.Image) { i.Size = 0 }), 1, false},
		{with(func(i *control.Image) { i.Offset = -1 }), 1, false},
		{with(func(i *control.Image) { i.Limit = -1 }), 1, false},
		{with(func(i *control.Image) { i.Partition = -1 }), 1, false},
	} {
		var files []*os.File
		for range tt.files {
			files = append(files, file())
		}
		of, err := fromOutside(tt.image, files, nil)
		if (err == nil) != tt.want {
			t.Errorf("%+v, %d files: %v", tt.image, tt.files, err)
		}
		for _, fd := range []int{of.handed.Image, of.handed.Overlay} {
			if open := fd >= 0 && unix.Fstat(fd, new(unix.Stat_t)) == nil; open && !tt.want {
				t.Errorf("%+v: descriptor %d is left", tt.image, fd)
			}
		}
		of.handed.close()
		for _, f := range files {
			if f.Close() == nil {
				t.Errorf("%+v: %s is left open", tt.image, f.Name())
			}
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(control.ErrHandOver)
	h := host{&service{additions: make(chan addition)}}
	if _, err := h.Add(ctx, good, []*os.File{file()}, nil); err != control.ErrHandOver {
		t.Errorf("during an upgrade: %v", err)
	}
}

// If a successor is killed before it has removed a disk that is passing, the next one does.
func TestGuardOfASuccessorKnowsWhatIsPassing(t *testing.T) {
	all := givens([]*disk{{lun: 0}, {lun: 3, passing: true}})
	if len(all) != 2 || all[0].Passing || !all[1].Passing || all[1].LUN != 3 {
		t.Errorf("%+v", all)
	}
}

// A guard that is stopped at the end of a change learns of it when it goes on.
func TestGuardIsToldOfTheEndOfAChangeUntilItKnows(t *testing.T) {
	t.Parallel() // it waits
	path := filepath.Join(t.TempDir(), "a.img")
	image, err := os.Create(path) // which this process has open, for its guard to see
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	g, err := guard.Start(true, forGuard(nil), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	h, resume := g.HandOver()
	resume()
	var said strings.Builder
	s := serving(&service{guard: g, console: console.New(&said, "lunserve")}, &disk{lun: 1, given: Image{Path: path}})
	if err := syscall.Kill(h.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.settle("it removes LUN 1")
	s.settleAgain() // does not wait for the guard again
	if g.KeepAgain() {
		t.Error("a guard is told again before it has answered")
	}
	if err := syscall.Kill(h.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); !g.KeepAgain(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the guard is not told again")
		}
	}
	s.changed = make(chan func())
	if s.settleAgain(); !g.KeepAgain() {
		t.Error("it was told during the next change")
	}
	s.changed = nil
	if s.settleAgain(); g.KeepAgain() {
		t.Error("the guard still does not know")
	}
	s.console.Close()
	if want := "the guard does not answer; it is told again, and if lunserve is killed until then, it removes LUN 1"; !strings.Contains(said.String(), want) || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("said: %s", &said)
	}
}
