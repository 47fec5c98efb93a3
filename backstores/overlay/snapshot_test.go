package overlay_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestSnapshot(t *testing.T) {
	for _, place := range storetest.Places {
		for _, readOnly := range []bool{true, false} {
			t.Run(place.Name, func(t *testing.T) {
				dir := place.Dir(t)
				base := storetest.NewImage(t, t.TempDir(), storetest.OddSize)
				before := storetest.ReadFile(t, base)
				storetest.Run(t, func(t testing.TB) backstores.Backstore {
					s, err := image.Snapshot(ctx, open(t, base, readOnly), dir)
					if err != nil {
						t.Fatal(err)
					}
					return s
				})
				if !bytes.Equal(storetest.ReadFile(t, base), before) {
					t.Error("the base was changed")
				}
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Errorf("files left behind: %v", left)
				}
			})
		}
	}
}

// Side by side, processes read and write parts of blocks that were never written.
// Each byte is the base's or its writer's, and no write undoes another.
func TestHalfCopiedBlocksAreNotSeen(t *testing.T) {
	const size = 8 << 20
	path := storetest.NewFile(t, storetest.MemDir(t), size)
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xbb}, size), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := image.Snapshot(ctx, open(t, path, true), storetest.MemDir(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const sector, writers = 512, 8
	var wg sync.WaitGroup
	for w := range int64(writers) {
		wg.Go(func() {
			p := bytes.Repeat([]byte{byte(w + 1)}, sector)
			for off := w * sector; off < size; off += writers * sector {
				f := backstores.Flag(w % 2)
				err := backstores.WriteVec(s, [][]byte{p}, off, f)
				if err == backstores.ErrWouldBlock {
					err = backstores.WriteVec(s, [][]byte{p}, off, 0)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			p := make([]byte, 16<<10)
			for range 2 {
				for off := int64(0); off < size; off += int64(len(p)) {
					if err := backstores.ReadVec(s, [][]byte{p}, off, 0); err != nil {
						t.Error(err)
						return
					}
					for i, b := range p {
						if want := byte(i/sector%writers + 1); b != 0xbb && b != want {
							t.Errorf("byte %d is %#x, want 0xbb or %#x", off+int64(i), b, want)
							return
						}
					}
				}
			}
		})
	}
	wg.Wait()
	p := make([]byte, size)
	if err := backstores.ReadVec(s, [][]byte{p}, 0, 0); err != nil {
		t.Fatal(err)
	}
	for i, b := range p {
		if want := byte(i/sector%writers + 1); b != want {
			t.Fatalf("byte %d is %#x, want %#x", i, b, want)
		}
	}
}

func TestTrimOfSnapshotGivesSpaceBackAndHidesTheBase(t *testing.T) {
	const size = 8 << 20
	for _, place := range storetest.Places[:2] {
		dir := place.Dir(t)
		if place.Name == "tmpfs" { // one of its own: other tests write to /dev/shm
			dir = storetest.Mount(t, "tmpfs", "tmpfs", 0, "")
		}
		path := storetest.NewFile(t, t.TempDir(), size)
		if err := os.WriteFile(path, bytes.Repeat([]byte{0xbb}, size), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := image.Snapshot(ctx, open(t, path, true), dir)
		if err != nil {
			t.Fatal(err)
		}
		free := func() int64 {
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			return int64(st.Bfree) * int64(st.Bsize)
		}
		if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{1}, size)}, 0, 0); err != nil {
			t.Fatal(err)
		}
		before := free()
		if err := backstores.Trim(s, 0, size); err != nil {
			t.Fatal(err)
		}
		if place.Name == "tmpfs" { // the disk has other users
			if back := free() - before; back < size {
				t.Errorf("%s: %d bytes came back of %d", place.Name, back, size)
			}
		}
		storetest.Holds(t, s, make([]byte, size))
		if n, data, err := backstores.Extent(s, 0); n != size || data || err != nil {
			t.Errorf("%s: Extent(0) = %d, %v, %v", place.Name, n, data, err)
		}
		s.Close()
	}
}

// mkfs discards the whole disk. Where that is a hole anyway, the discard takes
// neither memory nor space.
func TestTrimOfHolesTakesNoSpace(t *testing.T) {
	dir := t.TempDir()
	base := storetest.NewFile(t, dir, 1<<40)
	path := filepath.Join(dir, "overlay.qcow2")
	s := openOverlay(t, path, base)
	if err := backstores.Trim(s, 0, 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Blocks*512 > 1<<20 {
		t.Errorf("the overlay has %d bytes (%v)", st.Blocks*512, err)
	}
}

func TestCowDoesNotAllocate(t *testing.T) {
	dir := storetest.MemDir(t)
	base := storetest.NewImage(t, dir, 64<<20)
	snapshot, err := image.Snapshot(ctx, open(t, base, true), dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]backstores.Backstore{
		"Snapshot": snapshot,
		"Overlay":  openOverlay(t, filepath.Join(dir, "overlay.qcow2"), base),
	} {
		r, w := s.(backstores.VectorReader), s.(backstores.VectorWriter)
		bufs := [][]byte{make([]byte, 4096), make([]byte, 4096)}
		rnd := rand.New(rand.NewPCG(1, 1))
		w.WriteVec(bufs, 0, 0)
		for _, f := range []backstores.Flag{0, backstores.NoWait} {
			if n := testing.AllocsPerRun(2000, func() {
				off := rnd.Int64N(60<<20) &^ 511
				if err := w.WriteVec(bufs, off, f); err != nil && err != backstores.ErrWouldBlock {
					t.Fatal(err)
				}
				if err := r.ReadVec(bufs, max(off-2048, 0), f); err != nil && err != backstores.ErrWouldBlock {
					t.Fatal(err)
				}
			}); n != 0 && !raceEnabled {
				t.Errorf("%s, flags %b: %v allocations", name, f, n)
			}
		}
		s.Close()
	}
}

func TestSnapshotSuggestsAnotherDirectory(t *testing.T) {
	base := storetest.NewImage(t, t.TempDir(), 1<<20)
	b := open(t, base, true)
	defer b.Close()
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := image.Snapshot(ctx, b, missing)
	storetest.WantError(t, err, missing, "PATH: no such file or directory; try --tmpdir DIR to keep temporary writes elsewhere")
	if !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}

func TestSnapshotIsNotResized(t *testing.T) {
	s := snapshot(t, t.TempDir(), storetest.NewFile(t, t.TempDir(), 1<<20))
	defer s.Close()
	for _, s := range []backstores.Backstore{s, backstores.FullyProvisioned(s)} {
		for _, n := range []int64{0, 2 << 20} {
			if err := backstores.Resize(s, n); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Resize(%d): %v", n, err)
			}
		}
	}
}
