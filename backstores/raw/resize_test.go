package raw_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// The size changes in Resize only, since initiators must be informed first.
func TestSizeFollowsTheFileWhenAsked(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "disk.img")
		if err := os.WriteFile(path, make([]byte, 8192), 0o644); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, raw.Options{ReadOnly: readOnly})
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
	s := open(t, path, raw.Options{Create: 1 << 20})
	if err := backstores.Resize(s, 1<<40); err != nil || s.Size() != 1<<40 || fileSize(t, path) != 1<<40 {
		t.Fatalf("the store has %d bytes and the file %d: %v", s.Size(), fileSize(t, path), err)
	}
	last := bytes.Repeat([]byte{7}, 512)
	if _, err := s.(io.WriterAt).WriteAt(last, 1<<40-512); err != nil {
		t.Error(err)
	}
	if n, data, err := backstores.Extent(s, 1<<20); err != nil || data || n < 1<<30 {
		t.Errorf("the added part is not a hole: %d bytes, %v, %v", n, data, err)
	}
	for _, n := range []int64{1<<40 - 1, 512, -1} {
		if err := backstores.Resize(s, n); err == nil || s.Size() != 1<<40 || fileSize(t, path) != 1<<40 {
			t.Errorf("Resize(%d): the store has %d bytes and the file %d: %v", n, s.Size(), fileSize(t, path), err)
		}
	}
	// Another process made the file longer. It is not truncated.
	if err := os.Truncate(path, 1<<41); err != nil {
		t.Fatal(err)
	}
	if err := backstores.Resize(s, 1<<40+4096); err == nil || hint.Text(err) != "has 2199023255552 bytes; lunserve does not shrink images" {
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
	s := open(t, path, raw.Options{ReadOnly: true})
	if err := backstores.Resize(s, 16384); err == nil || s.Size() != 8192 || fileSize(t, path) != 8192 {
		t.Errorf("the store has %d bytes and the file %d: %v", s.Size(), fileSize(t, path), err)
	}
}

// The race detector must not complain.
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
