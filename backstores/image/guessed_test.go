package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// withoutAttributes is a file system on which nothing can be remembered.
func withoutAttributes(t testing.TB) string { return storetest.Mount(t, "none", "ramfs", 0, "") }

// Two writes that are harmless each alone never make the image look like another
// format together.
func TestConcurrentWritesDoNotMakeAnotherFormat(t *testing.T) {
	path := filepath.Join(withoutAttributes(t), "disk.img")
	for range 300 {
		if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
		s := openRaw(t, path, Options{})
		var wg sync.WaitGroup
		for _, piece := range []struct {
			off  int64
			text string
		}{{0, "QF"}, {2, "I\xfb\x00\x00\x00\x03"}, {257, "ustar"}} {
			wg.Go(func() {
				if _, err := s.WriteAt([]byte(piece.text), piece.off); err != nil && !errors.Is(err, backstores.ErrProtected) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s.Close()
		if s, err := Open(context.Background(), path, Options{}); err != nil {
			t.Fatal(err)
		} else {
			s.Close()
		}
	}
}

// openRaw opens a raw image that can be written until the end of the test.
func openRaw(t testing.TB, path string, o Options) *guessed {
	t.Helper()
	s, err := Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*guessed)
}

const qcow2Magic = "QFI\xfb\x00\x00\x00\x03"

// Where the format cannot be remembered the write fails, and the first error says
// why and what to type.
func TestWriteIsRefusedIfTheFormatCannotBeRemembered(t *testing.T) {
	path := storetest.NewFile(t, withoutAttributes(t), 1<<20)
	s := openRaw(t, path, Options{})
	block := make([]byte, 4096)
	copy(block, qcow2Magic)
	if err := s.WriteVec([][]byte{block}, 0, backstores.NoWait); err != backstores.ErrWouldBlock {
		t.Errorf("NoWait: %v", err)
	}
	err := s.WriteVec([][]byte{block}, 0, 0)
	storetest.WantError(t, err, path, "PATH: write refused: the image would look like a qcow2 image at the next start, and its file system cannot store the attribute that keeps it raw: "+
		"set attribute user.lunserve.format: operation not supported; try --format raw to serve it raw whatever it looks like")
	if _, err := s.WriteAt(block, 0); err != backstores.ErrProtected {
		t.Errorf("the second error: %v", err)
	}
	if err := s.Resize(1<<20 + 512); err != nil {
		t.Error(err)
	}
	if _, err := s.WriteAt(block, 4096); err != nil {
		t.Errorf("elsewhere: %v", err)
	}
	s.Close()

	// As typed.
	s = openRaw(t, path, Options{Format: Raw})
	if _, err := s.WriteAt(block, 0); err != nil {
		t.Errorf("with --format raw: %v", err)
	}
}

// Where the format can be remembered the write is done, and said. The next start
// says what the image looks like. A given format still counts.
func TestFormatIsRemembered(t *testing.T) {
	path := storetest.NewFile(t, storetest.TempDir(t, "/var/tmp"), 1<<20)
	var notices []string
	s := openRaw(t, path, Options{Notice: func(err error) { notices = append(notices, hint.Text(err)) }})
	for range 2 {
		if err := s.WriteVec([][]byte{[]byte(qcow2Magic)}, 0, backstores.Durable); err != nil {
			t.Fatal(err)
		}
	}
	if want := path + ": begins or ends like a qcow2 image; it is served raw from now on, by its attribute user.lunserve.format"; strings.Join(notices, "\n") != want {
		t.Errorf("notices %q, want %q", notices, want)
	}
	s.Close()
	for _, o := range []Options{{}, {ReadOnly: true}} {
		s, err := Open(context.Background(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := Describe(s), "sparse, though it looks like a qcow2 image"; got != want {
			t.Errorf("described as %q, want %q", got, want)
		}
		if RawFormat(s) != Sparse || qemuFormat(s) != Raw {
			t.Errorf("%T: format %q", s, RawFormat(s))
		}
		s.Close()
	}
	i, store, err := Inspect(context.Background(), path, Options{})
	if err != nil || i.LooksLike != "a qcow2 image" || i.Format != Sparse {
		t.Errorf("inspected: %+v, %v", i, err)
	}
	store.Close()
	if _, err := Open(context.Background(), path, Options{Format: Zstd}); err == nil {
		t.Error("--format zstd does not count")
	}
	// Not what was remembered, but a copy.
	copied := path + ".copy"
	storetest.Command(t, "cp", "--no-preserve=xattr", path, copied)
	if _, err := Open(context.Background(), copied, Options{}); err == nil {
		t.Error("a copy without attributes is served raw")
	}
}

// A write whose effect is unknown is not done.
func TestWriteThatCannotBeCheckedFails(t *testing.T) {
	path := storetest.NewFile(t, storetest.TempDir(t, "/var/tmp"), 1<<20)
	s := openRaw(t, path, Options{})
	if err := unix.Ftruncate(s.Fd(), 0); err != nil { // reading the sectors fails
		t.Fatal(err)
	}
	if _, err := s.WriteAt([]byte(qcow2Magic), 0); err == nil {
		t.Error("written, although it could not be checked")
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 0 {
		t.Errorf("written: %v, %v", st.Size(), err)
	}
}

// A block device is raw whatever its contents: there is no place to remember it.
func TestBlockDeviceIsRaw(t *testing.T) {
	dev, _ := storetest.Loop(t, 1<<20)
	for range 2 {
		s := openRaw(t, dev, Options{})
		for _, magic := range []string{qcow2Magic, "\x28\xb5\x2f\xfd\x04\x00\x00\x00"} {
			if err := s.WriteVec([][]byte{[]byte(magic), make([]byte, 504)}, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := Describe(openRaw(t, dev, Options{})), "raw, though it looks like a zstd file"; got != want {
		t.Errorf("described as %q, want %q", got, want)
	}
	_, err := Open(context.Background(), dev, Options{Format: Zstd})
	storetest.WantError(t, err, dev, "PATH: zstd data can be served from a file only; try --format raw to serve the device as it is")
}

// Writes that do not touch the first or the last sector pay one comparison.
func TestCheckOfTheFormatAllocatesNothing(t *testing.T) {
	s := openRaw(t, storetest.NewFile(t, storetest.MemDir(t), 1<<20), Options{})
	bufs := [][]byte{make([]byte, 4096)}
	if n := testing.AllocsPerRun(100, func() {
		_, err := s.WriteAt(bufs[0], 8192)
		if err := errors.Join(err, s.WriteVec(bufs, 4096, 0)); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if fmt.Sprint(s.decides(512, 1<<20-1024), s.decides(511, 1), s.decides(1<<20-512, 1), s.decides(1<<20, 1)) != "false true true false" {
		t.Error("other sectors are checked")
	}
}

// Commit writes what a guest wrote into the base: the base stays raw, or nothing
// is committed.
func TestCommitLeavesTheBaseRaw(t *testing.T) {
	for _, tt := range []struct {
		name   string
		dir    string
		format string
		err    bool
	}{
		{"remembered", storetest.TempDir(t, "/var/tmp"), Auto, false},
		{"cannot be remembered", withoutAttributes(t), Auto, true},
		{"given", withoutAttributes(t), Raw, false},
	} {
		base := storetest.NewFile(t, tt.dir, 1<<20)
		changes := filepath.Join(storetest.TempDir(t, "/var/tmp"), "changes")
		b, err := Open(context.Background(), base, Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := OpenOverlay(context.Background(), changes, b, base, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(backstores.WriteVec(s, [][]byte{[]byte(qcow2Magic)}, 0, 0), backstores.Flush(s), s.Close()); err != nil {
			t.Fatal(err)
		}
		out := base + ".new"
		m := Merge{Base: base, Options: Options{Format: tt.format}}
		if err := m.Export(context.Background(), changes, out, false); errors.Is(err, backstores.ErrProtected) != tt.err {
			t.Errorf("%s: export: %v", tt.name, err)
		} else if !tt.err {
			s, err := Open(context.Background(), out, Options{Format: tt.format})
			if err != nil {
				t.Fatalf("%s: %s", tt.name, hint.Text(err))
			}
			s.Close()
		}
		err = m.Commit(context.Background(), changes)
		if tt.err {
			if !errors.Is(err, backstores.ErrProtected) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %s", tt.name, hint.Text(err))
		}
		if s, err := Open(context.Background(), base, Options{Format: tt.format}); err != nil {
			t.Errorf("%s: %s", tt.name, hint.Text(err))
		} else {
			s.Close()
		}
	}
}
