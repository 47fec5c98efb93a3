package backstores_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestWindow(t *testing.T) {
	dir := storetest.MemDir(t)
	for _, end := range []int64{-1, storetest.OddSize} {
		for _, readOnly := range []bool{false, true} {
			storetest.Run(t, func(t testing.TB) backstores.Backstore {
				return backstores.Window(open(t, storetest.NewImage(t, dir, storetest.OddSize+12345), readOnly), 4321, end)
			})
		}
	}
	storetest.Run(t, func(testing.TB) backstores.Backstore {
		return backstores.Window(&writableMemory{memory{data: make([]byte, 2<<20)}}, 1000, 1<<20+1)
	})
}

// Whatever is written to a window, the bytes around it stay.
func TestWindowChangesNothingAroundIt(t *testing.T) {
	const before, size, after = 5000, 1 << 20, 7000
	path := filepath.Join(storetest.MemDir(t), "disk.img")
	if err := os.WriteFile(path, bytes.Repeat([]byte{9}, before+size+after), 0o600); err != nil {
		t.Fatal(err)
	}
	s := backstores.Window(open(t, path, false), before, size)
	defer s.Close()
	full := bytes.Repeat([]byte{1}, size)
	vec := func(off int64) error { return backstores.WriteVec(s, [][]byte{full}, off, 0) }
	for name, do := range map[string]func(off int64) error{
		"write": vec,
		"trim":  func(off int64) error { return backstores.Trim(s, off, size) },
		"zero":  func(off int64) error { return backstores.Zero(s, off, size) },
	} {
		if err := do(0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, off := range []int64{-1, 1, size} {
			if do(off) == nil {
				t.Errorf("%s at %d: no error", name, off)
			}
		}
	}
	if err := vec(0); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := append(append(bytes.Repeat([]byte{9}, before), full...), bytes.Repeat([]byte{9}, after)...)
	if !bytes.Equal(got, want) {
		t.Error("bytes around the window have changed, or some in it have not")
	}
}

func TestWindowGrowsUnlessItsEndIsGiven(t *testing.T) {
	for _, tt := range []struct{ n, grown, adopted int64 }{{-1, 2 << 20, 3<<20 - 4096}, {1 << 20, 0, 1 << 20}} {
		path := filepath.Join(storetest.MemDir(t), "disk.img")
		s := backstores.Window(create(t, path, 2<<20), 4096, tt.n)
		before := s.Size()
		if err := backstores.Resize(s, 2<<20); (err == nil) != (tt.grown > 0) || s.Size() != max(tt.grown, before) {
			t.Errorf("%d bytes: has %d after a resize: %v", tt.n, s.Size(), err)
		}
		if err := backstores.Resize(s, math.MaxInt64); err == nil || strings.Contains(err.Error(), "shrink") {
			t.Errorf("%d bytes: all there are: %v", tt.n, err)
		}
		if err := os.Truncate(path, 3<<20); err != nil {
			t.Fatal(err)
		}
		if err := backstores.Resize(s, 0); err != nil || s.Size() != tt.adopted {
			t.Errorf("%d bytes: has %d when the image is longer: %v", tt.n, s.Size(), err)
		}
		if err := os.Truncate(path, 512<<10); err != nil {
			t.Fatal(err)
		}
		if err := backstores.Resize(s, 0); err != nil || s.Size() != 512<<10-4096 {
			t.Errorf("%d bytes: has %d when the image is shorter: %v", tt.n, s.Size(), err)
		}
	}
}

func TestWindowAllocatesNothing(t *testing.T) {
	s := backstores.Window(create(t, filepath.Join(storetest.MemDir(t), "disk.img"), 1<<20), 4096, -1)
	bufs := [][]byte{make([]byte, 4096)}
	if n := testing.AllocsPerRun(100, func() {
		_ = backstores.WriteVec(s, bufs, 8192, 0)
		_ = backstores.ReadVec(s, bufs, 8192, 0)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
