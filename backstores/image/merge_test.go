package image_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestCommit(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		storetest.Missing(t, "qemu-utils", err)
	}
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	want := storetest.ReadFile(t, base)
	path, out := filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "out.img")
	s := openOverlay(t, path, base)
	storetest.Change(t, s, want, rand.New(rand.NewPCG(23, 23)), 60)
	var m image.Merge
	if err := backstores.Flush(s); err != nil {
		t.Fatal(err)
	}
	s.Close()

	if err := m.Export(ctx, path, out, false); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(storetest.ReadFile(t, out), want) {
		t.Error("the new image holds something else")
	}
	storetest.WantError(t, m.Export(ctx, path, out, false), out, "PATH: exists; try -f to replace it")

	served := open(t, base, reading)
	if err := m.Commit(ctx, path); err == nil || !strings.Contains(err.Error(), "already open in this process") {
		t.Errorf("Commit to a base that is served: %v", err)
	}
	served.Close()

	// An interrupted commit says what to do, and the next one continues.
	for steps := range 4 {
		ctx, cancel := context.WithCancel(ctx)
		m.Options.Progress = func(int64, int64, string) {
			if steps--; steps < 0 {
				cancel()
			}
		}
		storetest.WantError(t, m.Commit(ctx, path), path, "PATH: is only partly merged into its base, and neither can be used until the merge is complete: committing: interrupted; try lunserve commit PATH")
		b := open(t, base, reading)
		_, _, err := image.OpenOverlay(context.Background(), path, b, base, false)
		storetest.WantError(t, err, path, "PATH: is only partly merged into its base; try lunserve commit --base "+base+" PATH")
		b.Close()
		cancel()
	}
	os.Remove(out)
	m.Options.Progress = nil
	if err := m.Export(ctx, path, out, false); err != nil || !bytes.Equal(storetest.ReadFile(t, out), want) {
		t.Errorf("Export of a half committed overlay: %v, or it holds something else", err)
	}
	other := filepath.Join(dir, "other.img")
	storetest.Command(t, "cp", base, other)
	storetest.Command(t, "dd", "if=/dev/urandom", "of="+other, "bs=1M", "count=1", "conv=notrunc", "status=none")
	m.Base = other
	storetest.WantError(t, m.Commit(ctx, path), other, "PATH: is not the image that "+path+" is being merged into, or has changed since")
	m.Base = ""
	if err := m.Commit(ctx, path); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(storetest.ReadFile(t, base), want) {
		t.Error("the base holds something else")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the overlay is still there: %v", err)
	}
}

// A committed overlay that still has another name does not overwrite later writes
// to the base.
func TestCommitIsDoneOnce(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	path, left := filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "left.qcow2")
	s := openOverlay(t, path, base)
	storetest.Change(t, s, storetest.ReadFile(t, base), rand.New(rand.NewPCG(24, 24)), 60)
	s.Close()
	if err := os.Link(path, left); err != nil {
		t.Fatal(err)
	}
	var m image.Merge
	if err := m.Commit(ctx, path); err != nil {
		t.Fatal(err)
	}
	want := storetest.ReadFile(t, base)
	copy(want, "written since")
	if err := os.WriteFile(base, want, 0o644); err != nil {
		t.Fatal(err)
	}

	const done = "PATH: is already merged into its base; try rm PATH to remove it"
	b := open(t, base, reading)
	_, _, err := image.OpenOverlay(ctx, left, b, base, false)
	storetest.WantError(t, err, left, done)
	_, _, err = image.OpenOverlay(ctx, left, b, base, true)
	storetest.WantError(t, err, left, done)
	b.Close()
	storetest.WantError(t, m.Export(ctx, left, filepath.Join(dir, "out.img"), false), left, done)

	if err := m.Commit(ctx, left); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("the overlay is still there: %v", err)
	}
	if !bytes.Equal(storetest.ReadFile(t, base), want) {
		t.Error("the base has lost later writes")
	}
}

// If the overlay is a symbolic link, Commit removes the link and its target.
func TestCommitRemovesLinkAndTarget(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	path, link := filepath.Join(dir, "overlay.qcow2"), filepath.Join(storetest.MemDir(t), "link")
	openOverlay(t, path, base).Close()
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := new(image.Merge).Commit(ctx, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

// What takes the overlay's name during a commit is kept.
func TestCommitRemovesOnlyTheOverlay(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	want := storetest.ReadFile(t, base)
	path, important := filepath.Join(dir, "changes"), filepath.Join(dir, "important")
	s := openOverlay(t, path, base)
	storetest.Change(t, s, want, rand.New(rand.NewPCG(25, 25)), 60)
	s.Close()
	swap := func() error {
		return errors.Join(os.Rename(path, filepath.Join(dir, "x")), os.WriteFile(important, []byte("important"), 0o600), os.Symlink(important, path))
	}
	m := image.Merge{Options: image.Options{Progress: func(int64, int64, string) {
		if swap != nil {
			if err := swap(); err != nil {
				t.Error(err)
			}
			swap = nil
		}
	}}}
	storetest.WantError(t, m.Commit(ctx, path), path, "PATH: is now the name of another file, which is kept; what PATH held is in its base")
	if !bytes.Equal(storetest.ReadFile(t, base), want) {
		t.Error("the base holds something else")
	}
	if string(storetest.ReadFile(t, important)) != "important" {
		t.Error("the file that the name leads to was changed")
	}
}

// A misspelt overlay is answered with the name of the one that exists.
func TestMisspeltOverlayHasNearNames(t *testing.T) {
	dir := t.TempDir()
	base, path, wrong := storetest.NewImage(t, dir, storetest.OddSize), filepath.Join(dir, "changes.qcow2"), filepath.Join(dir, "chagnes.qcow2")
	openOverlay(t, path, base).Close()
	var m image.Merge
	const want = "PATH: no such file or directory; did you mean "
	storetest.WantError(t, m.Commit(ctx, wrong), wrong, want+path+"?")
	storetest.WantError(t, m.Export(ctx, wrong, filepath.Join(dir, "out"), false), wrong, want+path+"?")
	_, _, err := image.OpenOverlay(ctx, wrong, open(t, base, reading), base, true)
	storetest.WantError(t, err, wrong, want+path+"?")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nothing", link); err != nil {
		t.Fatal(err)
	}
	storetest.WantError(t, m.Commit(ctx, link), link, "PATH: is a symbolic link to nothing, which does not exist")
}
