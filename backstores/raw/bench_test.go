package raw_test

import (
	"fmt"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// BenchmarkRaw moves 4 KiB in the page cache, in one buffer or in vectors, with
// and without NoWait.
func BenchmarkRaw(b *testing.B) {
	for _, place := range storetest.Places[:2] {
		for _, op := range []struct {
			name string
			f    func(backstores.Backstore, [][]byte, int64, backstores.Flag) error
		}{
			{"Read", func(s backstores.Backstore, bufs [][]byte, off int64, f backstores.Flag) error {
				return s.(backstores.VectorReader).ReadVec(bufs, off, f)
			}},
			{"Write", func(s backstores.Backstore, bufs [][]byte, off int64, f backstores.Flag) error {
				return s.(backstores.VectorWriter).WriteVec(bufs, off, f)
			}},
		} {
			for _, size := range []struct{ bufs, each int }{{1, 4096}, {8, 512}, {8, 4096}, {64, 4096}} {
				for _, flag := range []backstores.Flag{0, backstores.NoWait} {
					name := fmt.Sprintf("%s/%s/%dx%d/wait=%v", op.name, place.Name, size.bufs, size.each, flag == 0)
					b.Run(name, func(b *testing.B) {
						const span = 64 << 20
						s := newImage(b, place.Dir(b), span)
						if err := backstores.Zero(s, 0, span); err != nil {
							b.Fatal(err)
						}
						warm := [][]byte{make([]byte, 1<<20)}
						for off := int64(0); off < span; off += 1 << 20 {
							if err := op.f(s, warm, off, 0); err != nil {
								b.Fatal(err)
							}
						}
						bufs := make([][]byte, size.bufs)
						for i := range bufs {
							bufs[i] = make([]byte, size.each)
						}
						blocked := 0
						var off int64
						b.SetBytes(int64(size.bufs * size.each))
						b.ReportAllocs()
						for b.Loop() {
							err := op.f(s, bufs, off, flag)
							if err == backstores.ErrWouldBlock {
								blocked++
								err = op.f(s, bufs, off, 0)
							}
							if err != nil {
								b.Fatal(err)
							}
							off = (off + 7*int64(size.bufs*size.each)) % (span - 1<<20)
						}
						b.ReportMetric(float64(blocked)/float64(b.N), "blocked/op")
					})
				}
			}
		}
	}
}
