package overlay_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestOverlay(t *testing.T) {
	for _, place := range storetest.Places {
		t.Run(place.Name, func(t *testing.T) {
			dir := place.Dir(t)
			base := storetest.NewImage(t, t.TempDir(), storetest.OddSize)
			before := storetest.ReadFile(t, base)
			path := filepath.Join(dir, "overlay.qcow2")
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				os.Remove(path)
				return openOverlay(t, path, base)
			})
			if !bytes.Equal(storetest.ReadFile(t, base), before) {
				t.Error("the base was changed")
			}
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				s, _, err := image.OpenOverlay(ctx, path, open(t, base, true), base, true)
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func TestOverlayIsFoundAgain(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	want := storetest.ReadFile(t, base)
	path := filepath.Join(dir, "overlay.qcow2")
	r := rand.New(rand.NewPCG(21, 21))
	for range 5 {
		s := openOverlay(t, path, base)
		storetest.Holds(t, s, want)
		storetest.Change(t, s, want, r, 40)
		storetest.Holds(t, s, want)
		if err := backstores.Flush(s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// QEMU reads from an overlay what we wrote, and qemu-img finds no error in it,
// flushed or not.
func TestQemuReadsOverlay(t *testing.T) {
	dir := storetest.TempDir(t, "/var/tmp")
	base := storetest.NewImage(t, dir, 3<<30+12*512)
	path, out := filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "out.img")
	s := openOverlay(t, path, base)
	r := rand.New(rand.NewPCG(22, 22))
	part := make([]byte, 4<<20)
	for _, off := range []int64{0, 1<<30 - 2<<20, s.Size() - int64(len(part))} {
		if _, err := s.ReadAt(part, off); err != nil {
			t.Fatal(err)
		}
		storetest.Change(t, window{s, off, int64(len(part))}, part, r, 30)
	}
	storetest.Command(t, "qemu-img", "check", "-U", path)
	if err := backstores.Flush(s); err != nil {
		t.Fatal(err)
	}
	info := storetest.Command(t, "qemu-img", "info", "-U", path)
	for _, line := range []string{"file format: qcow2", "virtual size: 3 GiB (3221231616 bytes)", "backing file: " + base, "backing file format: raw", "extended l2: true"} {
		if !strings.Contains(info, line) {
			t.Errorf("qemu-img info has no %q:\n%s", line, info)
		}
	}
	if out := storetest.Command(t, "qemu-img", "check", "-U", path); !strings.Contains(out, "No errors were found") {
		t.Error(out)
	}
	storetest.Command(t, "qemu-img", "convert", "-U", "-O", "raw", path, out)
	raw := open(t, out, true)
	defer raw.Close()
	storetest.Same(t, raw, s)
	s.Close()

	// We read what QEMU writes in place.
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	storetest.Command(t, "qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 1073737728 8192", "-c", "write -P 0x5b 2147483648 512", path)
	s = openOverlay(t, path, base)
	if p := make([]byte, 8192); true {
		s.ReadAt(p, 1073737728)
		if !bytes.Equal(p, bytes.Repeat([]byte{0x5a}, 8192)) {
			t.Error("the write of qemu-io is missing")
		}
	}
	s.Close()
}

// A window is a range of a store.
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

func TestOverlayRefusesAnotherBase(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	path := filepath.Join(dir, "overlay.qcow2")
	openOverlay(t, path, base).Close()
	try := func(name, basePath, want string) {
		t.Helper()
		b := open(t, basePath, true)
		_, _, err := image.OpenOverlay(ctx, path, b, basePath, false)
		storetest.WantError(t, err, basePath, want)
		if err := b.Close(); err != nil {
			t.Errorf("%s: the base was closed: %v", name, err)
		}
	}
	other := filepath.Join(dir, "other.img")
	p := storetest.ReadFile(t, base)
	os.WriteFile(other, p[:len(p)-1], 0o644)
	try("size", other, fmt.Sprintf("PATH: is a disk of %d bytes, and %s was made over one of %d", len(p)-1, path, len(p)))

	os.WriteFile(other, p, 0o644)
	st, err := os.Stat(base)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Command(t, "touch", "-d", "2001-02-03T04:05:06.7Z", other)
	b := open(t, other, true)
	_, _, err = image.OpenOverlay(ctx, path, b, other, false)
	b.Close()
	if want := fmt.Sprintf("%s: has the time %s, and %s was made over it as of %s: it was changed since, or copied or restored without its time",
		other, statTime(t, other), path, statTime(t, base)); err == nil || err.Error() != want {
		t.Errorf("error %q,\n     want %q", err, want)
	}
	storetest.Command(t, "touch", "-d", st.ModTime().UTC().Format("2006-01-02T15:04:05.999999999Z"), other)
	b = open(t, other, true)
	s, _, err := image.OpenOverlay(ctx, path, b, other, false)
	if err != nil {
		t.Fatalf("a faithful copy is refused: %v", err)
	}
	s.Close()

	p[len(p)-1]++
	os.WriteFile(other, p, 0o644)
	os.Chtimes(other, time.Now(), st.ModTime())
	try("contents", other, "PATH: is not the image that "+path+" was made over, or has changed since")
}

// statTime returns the modification time of a file as stat prints it.
func statTime(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("stat", "-c", "%y", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestOverlayOpensOnlyOverlays(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	for name, make := range map[string]func(path string){
		"is not an overlay; give the name of a file that does not exist, to make one": func(path string) {
			os.WriteFile(path, []byte("a letter to somebody"), 0o644)
		},
		"is not an overlay, but a QCOW2 image that lunserve did not make; give the name of a file that does not exist, to make one": func(path string) {
			storetest.Command(t, "qemu-img", "create", "-f", "qcow2", path, "3M")
		},
		"is not a regular file": func(path string) { unix.Mkfifo(path, 0o644) },
		"was changed by another program, or is damaged: the record has a wrong checksum; try qemu-img convert -O raw --image-opts driver=qcow2,file.filename=PATH,backing.driver=raw,backing.file.filename=" + base + " DIR/overlay.img to keep what it holds": func(path string) {
			openOverlay(t, path, base).Close()
			p := storetest.ReadFile(t, path)
			p[112+33]++
			os.WriteFile(path, p, 0o644)
		},
	} {
		path := filepath.Join(storetest.MemDir(t), "overlay.qcow2")
		make(path)
		b := open(t, base, true)
		_, _, err := image.OpenOverlay(ctx, path, b, base, false)
		storetest.WantError(t, err, path, "PATH: "+strings.ReplaceAll(name, "DIR", filepath.Dir(path)))
		b.Close()
	}
	b := open(t, base, true)
	defer b.Close()
	missing := filepath.Join(dir, "missing")
	_, _, err := image.OpenOverlay(ctx, missing, b, base, true)
	storetest.WantError(t, err, missing, "PATH: no such file or directory")
}

// An overlay that is only read, or that is refused, is not written.
func TestUnservedOverlayIsNotWritten(t *testing.T) {
	dir := storetest.MemDir(t)
	base, other := storetest.NewImage(t, dir, storetest.OddSize), filepath.Join(storetest.MemDir(t), "other.img")
	if err := os.WriteFile(other, make([]byte, storetest.OddSize), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.qcow2")
	for _, closed := range []bool{true, false} {
		if closed {
			openOverlay(t, path, base).Close()
		} else {
			killWriter(t, dir, "8192 1048576")
		}
		before := storetest.ReadFile(t, path)
		b := open(t, base, true)
		s, _, err := image.OpenOverlay(ctx, path, b, base, true)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		b = open(t, other, true)
		if _, _, err := image.OpenOverlay(ctx, path, b, other, false); err == nil {
			t.Error("another base was accepted")
		}
		b.Close()
		if !bytes.Equal(storetest.ReadFile(t, path), before) {
			t.Errorf("closed before: %v: the overlay was written", closed)
		}
	}
}

func TestOverlayIsLocked(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, storetest.OddSize)
	path := filepath.Join(dir, "overlay.qcow2")
	s := openOverlay(t, path, base)
	b := open(t, base, true)
	defer b.Close()
	for _, readOnly := range []bool{false, true} {
		_, _, err := image.OpenOverlay(ctx, path, b, base, readOnly)
		storetest.WantError(t, err, path, "PATH: already open in this process; give each image once")
	}
	var m image.Merge
	storetest.WantError(t, m.Commit(ctx, path), path, "PATH: already open in this process; give each image once")
	storetest.WantError(t, m.Export(ctx, path, filepath.Join(dir, "out"), false), path, "PATH: already open in this process; give each image once")
	s.Close()
}
