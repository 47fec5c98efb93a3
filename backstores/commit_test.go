package backstores_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

func TestCommit(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		lacks(t, "qemu-utils", err)
	}
	dir := t.TempDir()
	base := newBase(t, dir, oddSize)
	want := contents(t, base)
	path, out := filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "out.img")
	s := overlay(t, path, base)
	change(t, s, want, rand.New(rand.NewPCG(23, 23)), 60)
	var m backstores.Merge
	if err := backstores.Flush(s); err != nil {
		t.Fatal(err)
	}
	s.Close()

	if err := m.Export(path, out, false); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, out), want) {
		t.Error("the new image holds something else")
	}
	wantError(t, m.Export(path, out, false), out, "PATH: exists; try -f to replace it")

	served := open(t, base, true)
	if err := m.Commit(path); err == nil || !strings.Contains(err.Error(), "open here already") {
		t.Errorf("Commit into a base that is served: %v", err)
	}
	served.Close()

	// Interrupted after each step, it says what to do, and another goes on.
	for steps := range 4 {
		m.Options.Progress = func(done, total int64, _ string) error {
			if steps--; steps < 0 {
				return errors.New("interrupted")
			}
			return nil
		}
		wantError(t, m.Commit(path), path, "PATH is half in its base, and neither can be used before it is all: interrupted; try lunserve commit PATH")
		b := open(t, base, true)
		_, _, err := backstores.OpenOverlay(path, b, base, false)
		wantError(t, err, path, "PATH: is half in its base; try lunserve commit PATH")
		b.Close()
	}
	os.Remove(out)
	m.Options.Progress = nil
	if err := m.Export(path, out, false); err != nil || !bytes.Equal(contents(t, out), want) {
		t.Errorf("a new image of what is half committed: %v, or it holds something else", err)
	}
	other := filepath.Join(dir, "other.img")
	run(t, "cp", base, other)
	run(t, "dd", "if=/dev/urandom", "of="+other, "bs=1M", "count=3", "conv=notrunc", "status=none")
	m.Base = other
	wantError(t, m.Commit(path), other, "PATH: is another image than "+path+" is half in, or was changed since")
	m.Base = ""
	if err := m.Commit(path); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, base), want) {
		t.Error("the base holds something else")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the overlay is still there: %v", err)
	}
}

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
