package overlay_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// BenchmarkCow moves 4 KiB at random offsets in a raw image, in blocks that were
// written before, and in blocks that were not. A first write of 512 bytes also
// copies the rest of the block. On tmpfs, so that no disk is measured.
func BenchmarkCow(b *testing.B) {
	const span = 256 << 20
	kinds := map[string]func(b *testing.B) backstores.Backstore{
		"raw": func(b *testing.B) backstores.Backstore {
			return open(b, fullBase(b, span), false)
		},
		"snapshot": func(b *testing.B) backstores.Backstore {
			s, err := image.Snapshot(ctx, open(b, fullBase(b, span), true), "/dev/shm")
			if err != nil {
				b.Fatal(err)
			}
			return s
		},
		"overlay": func(b *testing.B) backstores.Backstore {
			base := fullBase(b, span)
			return openOverlay(b, filepath.Join(filepath.Dir(base), "overlay.qcow2"), base)
		},
	}
	for _, kind := range []string{"raw", "snapshot", "overlay"} {
		for _, op := range []string{"write fresh", "write fresh 512", "write again", "read again", "read base"} {
			b.Run(kind+"/"+op, func(b *testing.B) {
				s := kinds[kind](b)
				defer s.Close()
				r, w := s.(backstores.VectorReader), s.(backstores.VectorWriter)
				bufs := [][]byte{make([]byte, 4096)}
				if op == "write fresh 512" {
					bufs[0] = bufs[0][:512]
				}
				again := op == "write again" || op == "read again"
				if warm := [][]byte{make([]byte, 1<<20)}; again {
					for off := int64(0); off < span; off += 1 << 20 {
						if err := w.WriteVec(warm, off, 0); err != nil {
							b.Fatal(err)
						}
					}
				}
				places := rand.New(rand.NewPCG(1, 1)).Perm(span / 4096)
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					off := int64(places[i%len(places)]) * 4096
					var err error
					if op == "read again" || op == "read base" {
						err = r.ReadVec(bufs, off, 0)
					} else {
						err = w.WriteVec(bufs, off, 0)
					}
					if err != nil {
						b.Fatal(err)
					}
					if i++; i == len(places) && !again && op != "read base" {
						// Every block is written: start over.
						b.StopTimer()
						s.Close()
						s = kinds[kind](b)
						r, w = s.(backstores.VectorReader), s.(backstores.VectorWriter)
						i = 0
						b.StartTimer()
					}
				}
			})
		}
	}
}

// fullBase makes an image without holes that is in the page cache.
func fullBase(b *testing.B, size int64) string {
	path := storetest.NewFile(b, storetest.TempDir(b, "/dev/shm"), size)
	s := open(b, path, false)
	defer s.Close()
	p := [][]byte{make([]byte, 1<<20)}
	for off := int64(0); off < size; off += 1 << 20 {
		p[0][0] = byte(off >> 20)
		if err := backstores.WriteVec(s, p, off, 0); err != nil {
			b.Fatal(err)
		}
	}
	return path
}
