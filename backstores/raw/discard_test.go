package raw_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/raw"
)

// A failed start removes the image that it has created, and nothing that has
// taken its name since.
func TestDiscardRemovesOnlyACreatedImage(t *testing.T) {
	dir := t.TempDir()
	path, important := filepath.Join(dir, "new.img"), filepath.Join(dir, "important")
	make := func() *raw.Writable { return open(t, path, raw.Options{Create: 4096}).(*raw.Writable) }
	discard := func(w *raw.Writable, want error) {
		t.Helper()
		if err := w.Discard(); !errors.Is(err, want) {
			t.Errorf("Discard() = %v, want %v", err, want)
		}
		w.Close()
	}
	discard(make(), nil)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("a created image is still there: %v", err)
	}

	w := make()
	if err := errors.Join(os.Remove(path), os.WriteFile(important, []byte("x"), 0o644), os.Link(important, path)); err != nil {
		t.Fatal(err)
	}
	discard(w, entry.ErrReplaced)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another file was removed: %v", err)
	}

	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	discard(make(), nil) // exists already
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("an image that existed was removed: %v", err)
	}
}
