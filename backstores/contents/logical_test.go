package contents

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// dosTable writes a table with entries of type, start and size in blocks.
func dosTable(disk []byte, block int, entries ...[3]uint32) {
	b := disk[512*block:]
	b[510], b[511] = 0x55, 0xaa
	for i, e := range entries {
		p := b[446+16*i:]
		p[4] = byte(e[0])
		binary.LittleEndian.PutUint32(p[8:], e[1])
		binary.LittleEndian.PutUint32(p[12:], e[2])
	}
}

// Linux gives no number to a table without a partition, as e2e's test of the same table
// shows.
func TestEmptyTablesOfLogicalPartitionsHaveNoNumber(t *testing.T) {
	disk := make([]byte, 1<<20)
	dosTable(disk, 0, [3]uint32{0x83, 64, 64}, [3]uint32{5, 128, 1024})
	dosTable(disk, 128, [3]uint32{0, 0, 0}, [3]uint32{5, 256, 256})                              // empty
	dosTable(disk, 384, [3]uint32{0x83, 1, 63}, [3]uint32{5, 512, 256}, [3]uint32{0x83, 64, 32}) // two
	dosTable(disk, 640, [3]uint32{0x83, 8, 16}, [3]uint32{5, 128, 64}, [3]uint32{0x83, 9000, 1})
	dosTable(disk, 256, [3]uint32{0, 0, 0}, [3]uint32{5, 128, 64}) // empty, and for ever
	d, err := Read(bytes.NewReader(disk), int64(len(disk)))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ number, start, size int64 }{{1, 64, 64}, {2, 128, 1024}, {5, 385, 63}, {6, 448, 32}, {7, 648, 16}}
	var got []struct{ number, start, size int64 }
	for _, v := range d.Volumes[1:] {
		got = append(got, struct{ number, start, size int64 }{int64(v.Partition), v.Start / 512, v.Size / 512})
	}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}
