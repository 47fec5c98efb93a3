package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// Packing or unpacking an image, or making an overlay over it, gives nobody
// access to its contents.
func TestNewFileGrantsNoMoreThanItsInput(t *testing.T) {
	defer unix.Umask(unix.Umask(0o022))
	dir := t.TempDir()
	base := storetest.NewFile(t, dir, 4096)
	for _, tt := range []struct{ in, out os.FileMode }{
		{0o600, 0o600}, {0o640, 0o640}, {0o660, 0o640}, {0o644, 0o644}, {0o444, 0o644}, {0o400, 0o600}, {0o755, 0o644},
	} {
		if err := os.Chmod(base, tt.in); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "new")
		o, err := image.NewOutput(path, false, base)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(o.Complete(), o.Close()); err != nil {
			t.Fatal(err)
		}
		over := filepath.Join(dir, "overlay")
		openOverlay(t, over, base).Close()
		for _, name := range []string{path, over} {
			if st, err := os.Stat(name); err != nil || st.Mode() != tt.out {
				t.Errorf("made of %v: %s: %v, want %v (%v)", tt.in, filepath.Base(name), st.Mode(), tt.out, err)
			}
			os.Remove(name)
		}
	}
}
