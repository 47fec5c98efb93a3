package backstores_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestOverlay(t *testing.T) {
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			dir := place.dir(t)
			base := newBase(t, t.TempDir(), oddSize)
			before := contents(t, base)
			path := filepath.Join(dir, "overlay.qcow2")
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				os.Remove(path)
				return overlay(t, path, base)
			})
			if !bytes.Equal(contents(t, base), before) {
				t.Error("the base was changed")
			}
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				s, _, err := backstores.OpenOverlay(path, open(t, base, true), base, true)
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func TestOverlayIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	base := newBase(t, dir, oddSize)
	want := contents(t, base)
	path := filepath.Join(dir, "overlay.qcow2")
	r := rand.New(rand.NewPCG(21, 21))
	for range 5 {
		s := overlay(t, path, base)
		holds(t, s, want)
		change(t, s, want, r, 40)
		holds(t, s, want)
		if err := backstores.Flush(s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What others read in an overlay is what it holds, and qemu-img finds nothing
// wrong with it, flushed or not.
func TestQemuReadsOverlay(t *testing.T) {
	dir := tempDir(t, "/var/tmp")
	base := newBase(t, dir, 3<<30+12*512)
	path, out := filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "out.img")
	s := overlay(t, path, base)
	r := rand.New(rand.NewPCG(22, 22))
	part := make([]byte, 4<<20)
	for _, off := range []int64{0, 1<<30 - 2<<20, s.Size() - int64(len(part))} {
		if _, err := s.ReadAt(part, off); err != nil {
			t.Fatal(err)
		}
		change(t, window{s, off, int64(len(part))}, part, r, 30)
	}
	run(t, "qemu-img", "check", "-U", path)
	if err := backstores.Flush(s); err != nil {
		t.Fatal(err)
	}
	info := run(t, "qemu-img", "info", "-U", path)
	for _, line := range []string{"file format: qcow2", "virtual size: 3 GiB (3221231616 bytes)", "backing file: " + base, "backing file format: raw", "extended l2: true"} {
		if !strings.Contains(info, line) {
			t.Errorf("qemu-img info has no %q:\n%s", line, info)
		}
	}
	if out := run(t, "qemu-img", "check", "-U", path); !strings.Contains(out, "No errors were found") {
		t.Error(out)
	}
	run(t, "qemu-img", "convert", "-U", "-O", "raw", path, out)
	raw := open(t, out, true)
	defer raw.Close()
	same(t, raw, s)
	s.Close()

	// And what QEMU wrote in its place is found by us.
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	run(t, "qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1073737728 8192", "-c", "write -P 0x5b 2147483648 512", path)
	s = overlay(t, path, base)
	if p := make([]byte, 8192); true {
		s.ReadAt(p, 1073737728)
		if !bytes.Equal(p, bytes.Repeat([]byte{0x5a}, 8192)) {
			t.Error("what qemu-io wrote is not there")
		}
	}
	s.Close()
}

// A window is a part of a store.
type window struct {
	backstores.Backstore
	off, size int64
}

func (w window) Size() int64 { return w.size }
func (w window) WriteAt(p []byte, off int64) (int, error) {
	return w.Backstore.(io.WriterAt).WriteAt(p, w.off+off)
}
func (w window) Trim(off, n int64) error { return backstores.Trim(w.Backstore, w.off+off, n) }
func (w window) Zero(off, n int64) error { return backstores.Zero(w.Backstore, w.off+off, n) }

func TestOverlayRefusesWhatItWasNotMadeOver(t *testing.T) {
	dir := t.TempDir()
	base := newBase(t, dir, oddSize)
	path := filepath.Join(dir, "overlay.qcow2")
	overlay(t, path, base).Close()
	try := func(name, basePath, want string) {
		t.Helper()
		b := open(t, basePath, true)
		_, _, err := backstores.OpenOverlay(path, b, basePath, false)
		wantError(t, err, basePath, want)
		if err := b.Close(); err != nil {
			t.Errorf("%s: the base was closed: %v", name, err)
		}
	}
	other := filepath.Join(dir, "other.img")
	p := contents(t, base)
	os.WriteFile(other, p[:len(p)-1], 0o644)
	try("size", other, "PATH: is a disk of 3146504 bytes, and "+path+" was made over one of 3146505")

	os.WriteFile(other, p, 0o644)
	st, err := os.Stat(base)
	if err != nil {
		t.Fatal(err)
	}
	try("time", other, "PATH: was changed since "+path+" was made over it; if it is a faithful copy, try touch -d "+
		st.ModTime().UTC().Format("2006-01-02T15:04:05.999999999Z")+" PATH")
	run(t, "touch", "-d", st.ModTime().UTC().Format("2006-01-02T15:04:05.999999999Z"), other)
	b := open(t, other, true)
	s, _, err := backstores.OpenOverlay(path, b, other, false)
	if err != nil {
		t.Fatalf("a faithful copy is refused: %v", err)
	}
	s.Close()

	p[len(p)-1]++
	os.WriteFile(other, p, 0o644)
	os.Chtimes(other, time.Now(), st.ModTime())
	try("contents", other, "PATH: is another image than "+path+" was made over, or was changed since")
}

func TestOverlayOpensOnlyOverlays(t *testing.T) {
	dir := t.TempDir()
	base := newBase(t, dir, oddSize)
	for name, make := range map[string]func(path string){
		"is no overlay; give the name of a file that does not exist, to make one": func(path string) {
			os.WriteFile(path, []byte("a letter to somebody"), 0o644)
		},
		"is a QCOW2 image that lunserve did not make": func(path string) {
			run(t, "qemu-img", "create", "-f", "qcow2", path, "3M")
		},
		"is no regular file, as an overlay must be": func(path string) { unix.Mkfifo(path, 0o644) },
		"was changed by another program, or is damaged": func(path string) {
			overlay(t, path, base).Close()
			run(t, "qemu-img", "snapshot", "-c", "one", path)
		},
		"its record is damaged": func(path string) {
			overlay(t, path, base).Close()
			p := contents(t, path)
			p[112+33]++
			os.WriteFile(path, p, 0o644)
		},
	} {
		path := filepath.Join(t.TempDir(), "overlay.qcow2")
		make(path)
		b := open(t, base, true)
		_, _, err := backstores.OpenOverlay(path, b, base, false)
		wantError(t, err, path, "PATH: "+name)
		b.Close()
	}
	b := open(t, base, true)
	defer b.Close()
	missing := filepath.Join(dir, "missing")
	_, _, err := backstores.OpenOverlay(missing, b, base, true)
	wantError(t, err, missing, "PATH: no such file or directory")
}

func TestOverlayIsLocked(t *testing.T) {
	dir := t.TempDir()
	base := newBase(t, dir, oddSize)
	path := filepath.Join(dir, "overlay.qcow2")
	s := overlay(t, path, base)
	b := open(t, base, true)
	defer b.Close()
	for _, readOnly := range []bool{false, true} {
		_, _, err := backstores.OpenOverlay(path, b, base, readOnly)
		wantError(t, err, path, "PATH: open here already; give each image once")
	}
	var m backstores.Merge
	wantError(t, m.Commit(path), path, "PATH: open here already; give each image once")
	wantError(t, m.Export(path, filepath.Join(dir, "out"), false), path, "PATH: open here already; give each image once")
	s.Close()
}
