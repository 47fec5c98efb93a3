package backstores_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// An overlay that is left when it was committed, by another name, does not get
// over what was written to the base since.
func TestCommitIsDoneOnce(t *testing.T) {
	dir := t.TempDir()
	base := newBase(t, dir, oddSize)
	path, left := filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "left.qcow2")
	s := overlay(t, path, base)
	change(t, s, contents(t, base), rand.New(rand.NewPCG(24, 24)), 60)
	s.Close()
	if err := os.Link(path, left); err != nil {
		t.Fatal(err)
	}
	var m backstores.Merge
	if err := m.Commit(path); err != nil {
		t.Fatal(err)
	}
	want := contents(t, base)
	copy(want, "written since")
	if err := os.WriteFile(base, want, 0o644); err != nil {
		t.Fatal(err)
	}

	const done = "PATH: is all in its base already; try rm PATH"
	b := open(t, base, true)
	_, _, err := backstores.OpenOverlay(left, b, base, false)
	wantError(t, err, left, done)
	_, _, err = backstores.OpenOverlay(left, b, base, true)
	wantError(t, err, left, done)
	b.Close()
	wantError(t, m.Export(left, filepath.Join(dir, "out.img"), false), left, done)

	if err := m.Commit(left); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("the overlay is still there: %v", err)
	}
	if !bytes.Equal(contents(t, base), want) {
		t.Error("the base does not hold what was written since")
	}
}

// Of an overlay that is found by a link both are removed.
func TestCommitRemovesWhatALinkIsOf(t *testing.T) {
	dir := t.TempDir()
	base := newBase(t, dir, oddSize)
	path, link := filepath.Join(dir, "overlay.qcow2"), filepath.Join(t.TempDir(), "link")
	overlay(t, path, base).Close()
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := new(backstores.Merge).Commit(link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}
