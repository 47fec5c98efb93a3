package backstores_test

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func TestFullyProvisioned(t *testing.T) {
	dir := t.TempDir()
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		return backstores.FullyProvisioned(open(t, newBase(t, dir, oddSize), false))
	})
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		return backstores.FullyProvisioned(open(t, newBase(t, dir, oddSize), true))
	})
}

func TestDetectZeroes(t *testing.T) {
	dir := t.TempDir()
	for _, unmap := range []bool{false, true} {
		storetest.Run(t, func(t testing.TB) backstores.Backstore {
			return backstores.DetectZeroes(open(t, newBase(t, dir, oddSize), false), unmap)
		})
		storetest.Run(t, func(t testing.TB) backstores.Backstore {
			return backstores.DetectZeroes(backstores.FullyProvisioned(open(t, newBase(t, dir, oddSize), false)), unmap)
		})
	}
	storetest.Run(t, func(t testing.TB) backstores.Backstore {
		return backstores.DetectZeroes(open(t, newBase(t, dir, oddSize), true), true)
	})
}

// What an initiator is told of a disk follows from what its store can do.
func TestWrappersKeepAndHideAbilities(t *testing.T) {
	path := newBase(t, t.TempDir(), oddSize)
	for _, tt := range []struct {
		name                     string
		readOnly                 bool
		wrap                     func(backstores.Backstore) backstores.Backstore
		writes, trims, tellsHole bool
	}{
		{"full", false, backstores.FullyProvisioned, true, false, false},
		{"full", true, backstores.FullyProvisioned, false, false, false},
		{"detect", false, detect(false), true, true, true},
		{"detect", true, detect(true), false, false, true},
		{"detect, full", false, func(b backstores.Backstore) backstores.Backstore {
			return backstores.DetectZeroes(backstores.FullyProvisioned(b), true)
		}, true, false, false},
	} {
		b := open(t, path, tt.readOnly)
		s := tt.wrap(b)
		_, writes := s.(io.WriterAt)
		_, vector := s.(backstores.VectorWriter)
		_, flushes := s.(backstores.Flusher)
		_, zeroes := s.(backstores.Zeroer)
		_, trims := s.(backstores.Trimmer)
		_, tells := s.(backstores.Extenter)
		_, reads := s.(backstores.VectorReader)
		if writes != tt.writes || vector != tt.writes || flushes != tt.writes || zeroes != tt.writes || !reads {
			t.Errorf("%s, read-only %v: %v %v %v %v %v", tt.name, tt.readOnly, writes, vector, flushes, zeroes, reads)
		}
		if trims != tt.trims || tells != tt.tellsHole {
			t.Errorf("%s, read-only %v: Trimmer %v, Extenter %v", tt.name, tt.readOnly, trims, tells)
		}
		b.Close()
	}
}

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
		s := backstores.DetectZeroes(newImage(t, tempDir(t, "/var/tmp"), size), tt.unmap)
		if err := backstores.WriteVec(s, [][]byte{bytes.Repeat([]byte{7}, size)}, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := backstores.WriteVec(s, [][]byte{tt.write[:300_000], tt.write[300_000:]}, 0, 0); err != nil {
			t.Fatal(err)
		}
		holds(t, s, tt.write)
		if _, data, err := backstores.Extent(s, 0); err != nil || data != tt.data {
			t.Errorf("unmap %v, %x…: data %v, %v", tt.unmap, tt.write[:4], data, err)
		}
	}
}

func BenchmarkDetectZeroes(b *testing.B) {
	for name, last := range map[string]byte{"zeros but one": 1} {
		for _, size := range []int{4096, 1 << 20} {
			b.Run(name, func(b *testing.B) {
				s := backstores.DetectZeroes(newImage(b, tempDir(b, "/dev/shm"), 2<<20), true)
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

// A file with holes is told from one without, which has all the space that it
// can take.
func TestRawFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	run(t, "truncate", "-s", "1M", path)
	for _, want := range []string{backstores.Sparse, backstores.Raw} {
		for _, readOnly := range []bool{true, false} {
			s := open(t, path, readOnly)
			if got := backstores.RawFormat(s); got != want {
				t.Errorf("RawFormat() = %q, want %q", got, want)
			}
			if got := backstores.RawFormat(backstores.FullyProvisioned(s)); got != "" {
				t.Errorf("RawFormat() of another store = %q", got)
			}
			s.Close()
		}
		run(t, "dd", "if=/dev/urandom", "of="+path, "bs=64K", "count=16", "conv=notrunc", "status=none")
	}
}
