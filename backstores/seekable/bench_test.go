package seekable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lunserve/lunserve/backstores/storetest"
)

// BenchmarkScan opens files with a seek table: one of data, and one of holes,
// whose frames are recognized by their headers.
func BenchmarkScan(b *testing.B) {
	for _, of := range []string{"data", "holes"} {
		b.Run(of, func(b *testing.B) {
			img := make([]byte, 64<<20)
			if of == "data" {
				img = noise(len(img))
			}
			file, _ := packed(b, img, MinFrame)
			r := bytes.NewReader(file)
			for b.Loop() {
				if s, err := Scan(ctx, r, r.Size(), 1<<20, nil); err != nil || s.Source != FromTable {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead reads 4 KiB at random from a small cache and from one that holds
// everything, and all of a file in order.
func BenchmarkRead(b *testing.B) {
	img := storetest.Contents(64 << 20)
	for _, frame := range []int64{4 << 10, 128 << 10, 2 << 20} {
		file, _ := packed(b, img, frame)
		for _, of := range []struct {
			name   string
			memory int64
			size   int
			order  bool
		}{
			{"miss", 8 << 20, 4 << 10, false},
			{"hit", 256 << 20, 4 << 10, false},
			{"all", 16 << 20, 1 << 20, true},
		} {
			b.Run(fmt.Sprintf("frame=%dK/%s", frame>>10, of.name), func(b *testing.B) {
				r := reader(b, file, of.memory)
				p := make([]byte, of.size)
				if of.memory > r.Size() {
					for off := int64(0); off < r.Size(); off += int64(len(p)) {
						r.ReadAt(p, off)
					}
				}
				rnd, off := rand.New(rand.NewPCG(1, 1)), int64(0)
				b.SetBytes(int64(len(p)))
				b.ReportAllocs()
				for b.Loop() {
					if of.order {
						off = (off + int64(len(p))) % r.Size()
					} else {
						off = rnd.Int64N(r.Size()/int64(len(p))) * int64(len(p))
					}
					if _, err := r.ReadAt(p, off); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
