package serve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
)

// An initiator asks once whether a disk is thin provisioned. A disk that is adopted
// is what it was, though the holes of its image are filled or made meanwhile, unless
// the command line says something else: then it is another disk.
func TestAdoptedDiskKeepsItsProvisioning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	open := func(o Options) *openedImage {
		t.Helper()
		base, err := image.Open(t.Context(), path, o.Open)
		if err != nil {
			t.Fatal(err)
		}
		i := &openedImage{path: path, abs: path, blockSize: 512, base: base, store: base}
		if _, err := i.stack(t.Context(), Image{}, &o); err != nil {
			t.Fatal(err)
		}
		return i
	}
	guess := Options{Open: image.Options{Format: image.Auto}}
	sparse := func() error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<20)) }
	full := func() error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) }
	for _, tt := range []struct {
		name          string
		before, after func() error
		options       Options // of the second start
		thin, same    bool
	}{
		{"holes filled", sparse, full, guess, true, true},
		{"holes made", full, sparse, guess, false, true},
		{"holes filled, --format=raw", sparse, full, Options{Open: image.Options{Format: image.Raw}}, false, false},
		{"no discard", sparse, sparse, Options{IgnoreDiscard: true}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.before(); err != nil {
				t.Fatal(err)
			}
			first := open(guess)
			contents := first.contents("")
			first.base.Close()
			if err := tt.after(); err != nil {
				t.Fatal(err)
			}
			i := open(tt.options)
			defer i.base.Close()
			i.provisionAs(contents)
			if same := i.contents("") == contents; same != tt.same {
				t.Errorf("%q is adopted as %q", contents, i.contents(""))
			}
			if _, thin := i.presented(&tt.options).(backstores.Trimmer); thin != tt.thin {
				t.Errorf("thin provisioned: %v", thin)
			}
		})
	}
}
