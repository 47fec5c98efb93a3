package volatile

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// BenchmarkWrite compares writes with those of the store below. 64 MiB is the cache, and
// each run of it flushes.
func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{4096, 1 << 20} {
		for _, tracked := range []bool{false, true} {
			b.Run(fmt.Sprint(n, " tracked ", tracked), func(b *testing.B) {
				below := open(b, storetest.NewImage(b, storetest.MemDir(b), 16<<20))
				defer below.Close()
				store := below
				if tracked {
					store = New(below, true)
				}
				p := [][]byte{bytes.Repeat([]byte{1}, n)}
				b.SetBytes(int64(n))
				for i := 0; b.Loop(); i++ {
					if err := backstores.WriteVec(store, p, int64(i*n)%(16<<20), 0); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
