package backstores_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// TestSizeFollowsTheFileWhenAsked, and not before: whoever serves the image
// has to tell others first.
func TestSizeFollowsTheFileWhenAsked(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "disk.img")
		if err := os.WriteFile(path, make([]byte, 8192), 0o644); err != nil {
			t.Fatal(err)
		}
		s := openAs(t, path, backstores.Options{ReadOnly: readOnly})
		for _, size := range []int64{12345, 4096} {
			was := s.Size()
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			if s.Size() != was {
				t.Errorf("the size is %d before it was asked for", s.Size())
			}
			if err := backstores.Resize(s, 0); err != nil || s.Size() != size {
				t.Errorf("resized to %d, want %d: %v", s.Size(), size, err)
			}
			if n, err := s.ReadAt(make([]byte, 20000), 0); int64(n) != size || err != io.EOF {
				t.Errorf("read %d bytes of %d: %v", n, size, err)
			}
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		if err := backstores.Resize(s, 0); err == nil || s.Size() != 4096 {
			t.Errorf("an empty image: size %d, %v", s.Size(), err)
		}
	}
}

func TestFileIsMadeLongerAndNeverShorter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	s := openAs(t, path, backstores.Options{Create: 1 << 20})
	if err := backstores.Resize(s, 1<<40); err != nil || s.Size() != 1<<40 || fileSize(t, path) != 1<<40 {
		t.Fatalf("the store has %d bytes and the file %d: %v", s.Size(), fileSize(t, path), err)
	}
	last := bytes.Repeat([]byte{7}, 512)
	if _, err := s.(io.WriterAt).WriteAt(last, 1<<40-512); err != nil {
		t.Error(err)
	}
	if n, data, err := backstores.Extent(s, 1<<20); err != nil || data || n < 1<<30 {
		t.Errorf("what was added is no hole: %d bytes, %v, %v", n, data, err)
	}
	for _, n := range []int64{1<<40 - 1, 512, -1} {
		if err := backstores.Resize(s, n); err == nil || s.Size() != 1<<40 || fileSize(t, path) != 1<<40 {
			t.Errorf("Resize(%d): the store has %d bytes and the file %d: %v", n, s.Size(), fileSize(t, path), err)
		}
	}
	// Others made it longer, and nobody was told yet: that is not cut off.
	if err := os.Truncate(path, 1<<41); err != nil {
		t.Fatal(err)
	}
	if err := backstores.Resize(s, 1<<40+4096); err == nil || !strings.Contains(err.Error(), "try truncate -s 1099511631872 ") {
		t.Errorf("error %v", err)
	}
	if n := fileSize(t, path); n != 1<<41 {
		t.Errorf("the file has %d bytes", n)
	}
}

func TestReadOnlyImageIsNotMadeLonger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, make([]byte, 8192), 0o644); err != nil {
		t.Fatal(err)
	}
	s := openAs(t, path, backstores.Options{ReadOnly: true})
	if err := backstores.Resize(s, 16384); err == nil || s.Size() != 8192 || fileSize(t, path) != 8192 {
		t.Errorf("the store has %d bytes and the file %d: %v", s.Size(), fileSize(t, path), err)
	}
}

// TestLayersHandResizeOn, if they keep nothing of their own.
func TestLayersHandResizeOn(t *testing.T) {
	dir := t.TempDir()
	for name, layer := range map[string]func(backstores.Backstore) backstores.Backstore{
		"DetectZeroes": func(b backstores.Backstore) backstores.Backstore { return backstores.DetectZeroes(b, true) },
		"FullyProvisioned": func(b backstores.Backstore) backstores.Backstore {
			return backstores.FullyProvisioned(b)
		},
		"both": func(b backstores.Backstore) backstores.Backstore {
			return backstores.DetectZeroes(backstores.FullyProvisioned(b), false)
		},
	} {
		s := layer(openAs(t, filepath.Join(dir, name), backstores.Options{Create: 1 << 20}))
		if err := backstores.Resize(s, 2<<20); err != nil || s.Size() != 2<<20 {
			t.Errorf("%s: the size is %d: %v", name, s.Size(), err)
		}
	}
	path := filepath.Join(dir, "read-only")
	if err := os.WriteFile(path, make([]byte, 8192), 0o644); err != nil {
		t.Fatal(err)
	}
	s := backstores.FullyProvisioned(openAs(t, path, backstores.Options{ReadOnly: true, Format: backstores.Raw}))
	if err := os.Truncate(path, 3<<20); err != nil {
		t.Fatal(err)
	}
	if err := backstores.Resize(s, 0); err != nil || s.Size() != 3<<20 {
		t.Errorf("read-only: the size is %d: %v", s.Size(), err)
	}
}

func TestSnapshotIsNotResized(t *testing.T) {
	base := newImage(t, t.TempDir(), 1<<20)
	s, err := backstores.Snapshot(base, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []backstores.Backstore{s, backstores.FullyProvisioned(s)} {
		for _, n := range []int64{0, 2 << 20} {
			if err := backstores.Resize(s, n); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Resize(%d): %v", n, err)
			}
		}
	}
}

// TestResizeUnderReadsAndWrites is for the race detector.
func TestResizeUnderReadsAndWrites(t *testing.T) {
	s := newImage(t, t.TempDir(), 1<<20)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			bufs := [][]byte{make([]byte, 4096), make([]byte, 4096)}
			for off := int64(i) * 8192; off <= 1<<20-8192; off += 4 * 8192 {
				if err := backstores.WriteVec(s, bufs, off, 0); err != nil {
					t.Error(err)
				}
				if err := backstores.ReadVec(s, bufs, off, 0); err != nil {
					t.Error(err)
				}
				if _, _, err := backstores.Extent(s, off); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := int64(2 << 20); n <= 64<<20; n += 1 << 20 {
		if err := backstores.Resize(s, n); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
