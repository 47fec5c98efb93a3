package serve

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
)

// The users of an orphan hold what they are going to write. So nobody else writes
// the image, even a part that they do not reach.
func TestOrphanOfAnotherPartStopsWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	base, err := image.Open(t.Context(), path, image.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	open := func(w control.Writes, p Part) *openedImage {
		i := &openedImage{path: path, abs: path, blockSize: 512, writes: w, base: base, store: base}
		if err := i.findPart(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return i
	}
	whole, first, second := Part{}, Part{Limit: 4096}, Part{Offset: 4096}
	for _, tt := range []struct {
		left     control.Writes
		leftPart Part
		now      control.Writes
		nowPart  Part
		concerns bool // the orphan stops the start, or is adopted by it
	}{
		{control.InPlace, first, control.InPlace, first, true},
		{control.InPlace, whole, control.InPlace, first, true},
		{control.InPlace, first, control.InPlace, whole, true},
		{control.InPlace, first, control.InPlace, second, true},
		{control.InPlace, first, control.Refused, second, true},
		{control.Refused, first, control.InPlace, second, true},
		{control.Refused, first, control.Refused, second, false},
		{control.Refused, first, control.Overlay, second, false},
		{control.InPlace, first, control.Temporary, second, false},
		{control.Temporary, first, control.InPlace, second, false},
	} {
		d := &disk{image: open(tt.now, tt.nowPart)}
		s := &service{disks: []*disk{d}}
		e := configfs.Export{Contents: open(tt.left, tt.leftPart).contents("")}
		if concerns := s.diskOf(e) == d; concerns != tt.concerns {
			t.Errorf("%+v: concerns the start: %v", tt, concerns)
			continue
		}
		if d.orphan = (&orphan{Export: e}); tt.concerns && tt.leftPart != tt.nowPart {
			if err := s.cannotAdopt(d); err == nil || err.Error() != "it is another part of the image" {
				t.Errorf("%+v: %v", tt, err)
			}
		}
	}

	// Each part is adopted by its own disk, whatever comes first.
	a, b := &disk{image: open(control.InPlace, first)}, &disk{image: open(control.InPlace, second)}
	s := &service{disks: []*disk{a, b}}
	if got := s.diskOf(configfs.Export{Contents: b.image.contents("")}); got != b {
		t.Error("an orphan is not adopted by the disk of its part")
	}
}
