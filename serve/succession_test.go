package serve

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
)

// After the fence nobody but the one who removes the disks may use their rings, not
// even one whose adoption comes too late.
func TestNothingIsAdoptedBehindTheFence(t *testing.T) {
	var s service
	fenced := 0
	adopt := func() error {
		s.fences = append(s.fences, func() { fenced++ })
		return nil
	}
	if err := s.unlessFenced(adopt); err != nil {
		t.Fatal(err)
	}
	s.fence()
	if err := s.unlessFenced(adopt); err == nil || len(s.fences) != 1 || fenced != 1 {
		t.Errorf("adopted again: %v; %d rings, %d of them fenced", err, len(s.fences), fenced)
	}
}

// The disk of an image that is passing goes if the image cannot be served. Others stay.
func TestOnlyDisksOfPassingImagesThatCannotBeServedAreDropped(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.img")
	if err := os.WriteFile(file, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s := &service{down: new(configfs.Undo), dead: 7, console: console.New(&said, "lunserve"), options: Options{SectorSize: 512}}
	for lun, i := range []Image{{Path: filepath.Join(dir, "gone.img")}, {Path: file, ReadOnly: true}, {Path: file, Snapshot: true}} {
		d, err := s.open(t.Context(), given{LUN: lun, Image: i, Passing: true})
		if err != nil || (d != nil) != (lun == 1) {
			t.Errorf("%+v: %v, %v", i, d, err)
		}
	}
	if err := s.down.Close(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(s.dropped, []int{0, 2}) {
		t.Errorf("dropped are %v", s.dropped)
	}
	at := func(lun int) []configfs.LUN { return []configfs.LUN{{Number: lun}} }
	for _, tt := range []struct {
		e    configfs.Export
		want bool
	}{
		{configfs.Export{PID: 7, LUNs: at(0)}, true},
		{configfs.Export{PID: 7}, true},
		{configfs.Export{PID: 7, LUNs: at(1)}, false},
		{configfs.Export{PID: 8, LUNs: at(0)}, false},
		{configfs.Export{PID: 7, LUNs: at(0), Alive: true}, false},
	} {
		if got := s.isDropped(tt.e); got != tt.want {
			t.Errorf("%+v: %v", tt.e, got)
		}
	}
}

// What is opened too late is closed again.
func TestImageThatIsPassingKeepsTheOthersNotLong(t *testing.T) {
	answers, closed := make(chan bool), make(chan bool)
	open := inTime(func(_ context.Context, _ given, down *configfs.Undo) (*openedImage, error) {
		down.Push(func() error { close(closed); return nil })
		<-answers
		return new(openedImage), nil
	})
	var down configfs.Undo
	if img, err := open(t.Context(), given{Image: Image{Path: "a.img"}}, &down); img != nil || err == nil || err.Error() != "a.img: its storage does not answer" {
		t.Errorf("%v, %v", img, err)
	}
	close(answers)
	<-closed
}
