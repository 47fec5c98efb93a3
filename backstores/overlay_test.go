package backstores_test

import (
	"bytes"
	"errors"
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
	"github.com/lunserve/lunserve/backstores/storetest"
)

// newBase makes an image with data, zeros and holes in it, whose size is no
// multiple of anything.
func newBase(t testing.TB, dir string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, "base.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(20, 20))
	p := make([]byte, 100_000)
	for off := int64(0); off < size-int64(len(p)); off += max(250_000, size/64) {
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		if _, err := f.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func open(t testing.TB, path string, readOnly bool) backstores.Backstore {
	t.Helper()
	s, err := backstores.Open(path, backstores.Options{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// overlay opens an overlay over the image at base until it is closed.
func overlay(t testing.TB, path, base string) backstores.Backstore {
	t.Helper()
	s, _, err := backstores.OpenOverlay(path, open(t, base, true), base, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const oddSize = 3<<20 + 777

func TestSnapshot(t *testing.T) {
	for _, place := range places {
		for _, readOnly := range []bool{true, false} {
			t.Run(place.name, func(t *testing.T) {
				dir := place.dir(t)
				base := newBase(t, t.TempDir(), oddSize)
				before := contents(t, base)
				storetest.Run(t, func(t testing.TB) backstores.Backstore {
					s, err := backstores.Snapshot(open(t, base, readOnly), dir)
					if err != nil {
						t.Fatal(err)
					}
					return s
				})
				if !bytes.Equal(contents(t, base), before) {
					t.Error("the base was changed")
				}
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

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

// change makes random changes to a store and to what it holds.
func change(t testing.TB, s backstores.Backstore, want []byte, r *rand.Rand, times int) {
	t.Helper()
	size := s.Size()
	for range times {
		n := r.Int64N(50_000)
		off := r.Int64N(size - n)
		if r.IntN(2) == 0 {
			off, n = off&^4095, n&^4095
		}
		var err error
		switch r.IntN(6) {
		case 0:
			clear(want[off : off+n])
			err = backstores.Trim(s, off, n)
		case 1:
			clear(want[off : off+n])
			err = backstores.Zero(s, off, n)
		default:
			p := want[off : off+n]
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			err = backstores.WriteVec(s, [][]byte{p}, off, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func contents(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func holds(t testing.TB, s backstores.Backstore, want []byte) {
	t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()+1))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("byte %d of %d differs (of %d read)", i, len(want), len(got))
			}
		}
		t.Fatalf("read %d bytes, want %d", len(got), len(want))
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

// same compares two stores where one of them has data.
func same(t *testing.T, a, b backstores.Backstore) {
	t.Helper()
	if a.Size() != b.Size() {
		t.Errorf("sizes %d and %d", a.Size(), b.Size())
	}
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < a.Size(); {
		n, data, err := backstores.Extent(a, off)
		if err != nil {
			t.Fatal(err)
		}
		m, more, err := backstores.Extent(b, off)
		if err != nil {
			t.Fatal(err)
		}
		n = min(n, m)
		if data || more {
			n = min(n, int64(len(p)))
			if err := errors.Join(backstores.ReadVec(a, [][]byte{p[:n]}, off, 0), backstores.ReadVec(b, [][]byte{q[:n]}, off, 0)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p[:n], q[:n]) {
				t.Fatalf("they differ within %d bytes at %d", n, off)
			}
		}
		off += n
	}
}

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

// The space that a temporary folder lacks costs the write that needs it, and
// nothing that was written before.
func TestFullFolder(t *testing.T) {
	const size = 16 << 20
	for name, make := range map[string]func(t *testing.T, dir, base string) backstores.Backstore{
		"Snapshot": func(t *testing.T, dir, base string) backstores.Backstore {
			s, err := backstores.Snapshot(open(t, base, true), dir)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"Overlay": func(t *testing.T, dir, base string) backstores.Backstore {
			return overlay(t, filepath.Join(dir, "overlay.qcow2"), base)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := mount(t, "none", "tmpfs", 0, "size=4m")
			base := newBase(t, t.TempDir(), size)
			want := contents(t, base)
			s := make(t, dir, base)
			full := 0
			for off := int64(0); off < size; off += 100_000 {
				p := bytes.Repeat([]byte{byte(off / 1000)}, min(100_000, int(size-off)))
				switch err := backstores.WriteVec(s, [][]byte{p}, off, 0); {
				case err == nil:
					copy(want[off:], p)
				case errors.Is(err, unix.ENOSPC):
					// Some of it may have been written over what was present.
					n, err := s.ReadAt(want[off:off+int64(len(p))], off)
					if n != len(p) {
						t.Fatal(err)
					}
					full++
				default:
					t.Fatal(err)
				}
			}
			if full == 0 {
				t.Error("16 MiB fit in 4 MiB")
			}
			holds(t, s, want)
			if err := backstores.Flush(s); err != nil {
				t.Fatal(err)
			}
			if name == "Overlay" {
				s.Close()
				s = make(t, dir, base)
				holds(t, s, want)
			}
			if err := backstores.Trim(s, 0, size); err != nil {
				t.Fatal(err)
			}
			if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{9}, 1<<20)}, 5<<20, 0); err != nil {
				t.Errorf("after space was given back: %v", err)
			}
			s.Close()
		})
	}
}

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
