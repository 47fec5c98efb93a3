package scsi

import (
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// A benchStore does no more than it has to.
type benchStore []byte

func (m benchStore) Size() int64                              { return int64(len(m)) }
func (m benchStore) Close() error                             { return nil }
func (m benchStore) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m benchStore) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

func (m benchStore) ReadVec(bufs [][]byte, off int64, _ backstores.Flag) error {
	for _, b := range bufs {
		off += int64(copy(b, m[off:]))
	}
	return nil
}

func (m benchStore) WriteVec(bufs [][]byte, off int64, _ backstores.Flag) error {
	for _, b := range bufs {
		off += int64(copy(m[off:], b))
	}
	return nil
}

// hot are the commands of the benchmarks: 4 KiB each.
var hot = []struct{ name, cdb string }{
	{"READ(10)", "28 00 00000008 00 0008 00"},
	{"READ(16)", "88 00 0000000000000008 00000008 00 00"},
	{"WRITE(10)", "2a 00 00000008 00 0008 00"},
	{"WRITE(16)", "8a 00 0000000000000008 00000008 00 00"},
}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	d := NewDisk(make(benchStore, 1<<20), Options{BlockSize: 512})
	for _, x := range hot {
		cdb, bufs := unhex(x.cdb), split(stale(4096), 2048)
		if n := testing.AllocsPerRun(100, func() {
			if r, err := d.Execute(cdb, bufs, false); r.Status != good || err != nil {
				t.Fatalf("%s: %+v, %v", x.name, r, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a command", x.name, n)
		}
	}
}

func BenchmarkExecute(b *testing.B) {
	d := NewDisk(make(benchStore, 1<<20), Options{BlockSize: 512})
	for _, x := range hot {
		b.Run(x.name, func(b *testing.B) {
			cdb, bufs := unhex(x.cdb), [][]byte{stale(4096)}
			b.ReportAllocs()
			b.SetBytes(4096)
			for b.Loop() {
				d.Execute(cdb, bufs, false)
			}
		})
	}
}
