package backstores_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// open opens the image at path.
func open(t testing.TB, path string, readOnly bool) backstores.Backstore {
	t.Helper()
	s, err := image.Open(context.Background(), path, image.Options{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// create makes an image that is open until the end of the test.
func create(t testing.TB, path string, size int64) backstores.Backstore {
	t.Helper()
	s, err := image.Open(context.Background(), path, image.Options{Create: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestFullyProvisioned(t *testing.T) {
	dir := storetest.MemDir(t)
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		return backstores.FullyProvisioned(open(t, storetest.NewImage(t, dir, storetest.OddSize), false))
	})
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		return backstores.FullyProvisioned(open(t, storetest.NewImage(t, dir, storetest.OddSize), true))
	})
}

func TestDetectZeroes(t *testing.T) {
	dir := storetest.MemDir(t)
	for _, unmap := range []bool{false, true} {
		storetest.Run(t, func(t testing.TB) backstores.Backstore {
			return backstores.DetectZeroes(open(t, storetest.NewImage(t, dir, storetest.OddSize), false), unmap)
		})
		storetest.Run(t, func(t testing.TB) backstores.Backstore {
			return backstores.DetectZeroes(backstores.FullyProvisioned(open(t, storetest.NewImage(t, dir, storetest.OddSize), false)), unmap)
		})
	}
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		return backstores.DetectZeroes(open(t, storetest.NewImage(t, dir, storetest.OddSize), true), true)
	})
}

// SCSI reports the abilities of the store to the initiator.
func TestWrappersKeepAndHideAbilities(t *testing.T) {
	path := storetest.NewImage(t, t.TempDir(), storetest.OddSize)
	for _, tt := range []struct {
		name                        string
		readOnly                    bool
		wrap                        func(backstores.Backstore) backstores.Backstore
		writes, trims, reportsHoles bool
	}{
		{"full", false, backstores.FullyProvisioned, true, false, false},
		{"full", true, backstores.FullyProvisioned, false, false, false},
		{"detect", false, detect(false), true, true, true},
		{"detect", true, detect(true), false, false, true},
		{"detect, full", false, func(b backstores.Backstore) backstores.Backstore {
			return backstores.DetectZeroes(backstores.FullyProvisioned(b), true)
		}, true, false, false},
		{"window", false, window, true, true, true},
		{"window", true, window, false, false, true},
		{"window, full", false, func(b backstores.Backstore) backstores.Backstore {
			return window(backstores.FullyProvisioned(b))
		}, true, false, true},
	} {
		b := open(t, path, tt.readOnly)
		s := tt.wrap(b)
		_, writes := s.(io.WriterAt)
		_, vector := s.(backstores.VectorWriter)
		_, flushes := s.(backstores.Flusher)
		_, zeroes := s.(backstores.Zeroer)
		_, trims := s.(backstores.Trimmer)
		_, reports := s.(backstores.Extenter)
		_, reads := s.(backstores.VectorReader)
		if writes != tt.writes || vector != tt.writes || flushes != tt.writes || zeroes != tt.writes || !reads {
			t.Errorf("%s, read-only %v: %v %v %v %v %v", tt.name, tt.readOnly, writes, vector, flushes, zeroes, reads)
		}
		if trims != tt.trims || reports != tt.reportsHoles {
			t.Errorf("%s, read-only %v: Trimmer %v, Extenter %v", tt.name, tt.readOnly, trims, reports)
		}
		b.Close()
	}
}

func window(b backstores.Backstore) backstores.Backstore { return backstores.Window(b, 512, 4096) }

func detect(unmap bool) func(backstores.Backstore) backstores.Backstore {
	return func(b backstores.Backstore) backstores.Backstore { return backstores.DetectZeroes(b, unmap) }
}

func TestZerosBecomeHolesOrSpace(t *testing.T) {
	const size = 1 << 20
	for _, tt := range []struct {
		unmap bool
		write []byte
		data  bool
	}{
		{true, make([]byte, size), false},
		{true, append(make([]byte, size-1), 1), true},
		{true, append([]byte{1}, make([]byte, size-1)...), true},
		{true, append(append(make([]byte, size/2), 1), make([]byte, size/2-1)...), true},
	} {
		s := backstores.DetectZeroes(create(t, filepath.Join(storetest.TempDir(t, "/var/tmp"), "disk.img"), size), tt.unmap)
		if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{7}, size)}, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := backstores.WriteVec(s, [][]byte{tt.write[:300_000], tt.write[300_000:]}, 0, 0); err != nil {
			t.Fatal(err)
		}
		storetest.Holds(t, s, tt.write)
		if _, data, err := backstores.Extent(s, 0); err != nil || data != tt.data {
			t.Errorf("unmap %v, %x…: data %v, %v", tt.unmap, tt.write[:4], data, err)
		}
	}
}

func BenchmarkDetectZeroes(b *testing.B) {
	for name, last := range map[string]byte{"zeros but one": 1} {
		for _, size := range []int{4096, 1 << 20} {
			b.Run(name, func(b *testing.B) {
				s := backstores.DetectZeroes(create(b, filepath.Join(storetest.MemDir(b), "disk.img"), 2<<20), true)
				p := make([]byte, size)
				p[size-1] = last
				w := s.(backstores.VectorWriter)
				bufs := [][]byte{p}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if err := w.WriteVec(bufs, 0, 0); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestWrappersPassResizeOn(t *testing.T) {
	dir := storetest.MemDir(t)
	for name, layer := range map[string]func(backstores.Backstore) backstores.Backstore{
		"DetectZeroes": func(b backstores.Backstore) backstores.Backstore { return backstores.DetectZeroes(b, true) },
		"FullyProvisioned": func(b backstores.Backstore) backstores.Backstore {
			return backstores.FullyProvisioned(b)
		},
		"both": func(b backstores.Backstore) backstores.Backstore {
			return backstores.DetectZeroes(backstores.FullyProvisioned(b), false)
		},
	} {
		s := layer(create(t, filepath.Join(dir, name), 1<<20))
		if err := backstores.Resize(s, 2<<20); err != nil || s.Size() != 2<<20 {
			t.Errorf("%s: the size is %d: %v", name, s.Size(), err)
		}
	}
	path := filepath.Join(dir, "read-only")
	if err := os.WriteFile(path, make([]byte, 8192), 0o644); err != nil {
		t.Fatal(err)
	}
	s := backstores.FullyProvisioned(open(t, path, true))
	if err := os.Truncate(path, 3<<20); err != nil {
		t.Fatal(err)
	}
	if err := backstores.Resize(s, 0); err != nil || s.Size() != 3<<20 {
		t.Errorf("read-only: the size is %d: %v", s.Size(), err)
	}
}
