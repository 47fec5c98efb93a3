package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/lunserve/lunserve/backstores/qcow2"
)

// A counted store is data and holes in turn, each of 512 bytes, and counts the
// questions.
type counted struct {
	memory
	extents int
}

func (c *counted) Extent(off int64) (int64, bool, error) {
	c.extents++
	return 512 - off%512, off/512%2 == 0, nil
}

// tables returns an image of a disk with clusters of 512 bytes and this many L2
// tables, of which each L1 entry that set returns true for has one. All entries of
// these say entry.
func tables(n int, entry uint64, set func(i int) bool) []byte {
	b := binary.BigEndian
	l1Clusters := (n*8 + 511) / 512
	l2 := 512 * (1 + l1Clusters)
	h := qcow2.Header{ClusterBits: 9, Size: uint64(n) * 64 * 512, L1Size: uint32(n), L1At: 512, RefcountOrder: 4}
	file := append(h.Bytes(), make([]byte, l2+1024)...)[:l2+1024]
	for i := range n {
		if set(i) {
			b.PutUint64(file[512+i*8:], uint64(l2))
		}
	}
	for i := range 64 {
		b.PutUint64(file[l2+i*8:], entry)
	}
	return file
}

// largeTables is like tables, with clusters of 64 KiB.
func largeTables(entry uint64) []byte {
	const cluster = 64 << 10
	b := binary.BigEndian
	h := qcow2.Header{ClusterBits: 16, Size: cluster / 8 * cluster, L1Size: 1, L1At: cluster, RefcountOrder: 4}
	file := append(h.Bytes(), make([]byte, 3*cluster)...)[:3*cluster]
	b.PutUint64(file[cluster:], 2*cluster)
	for i := range cluster / 8 {
		b.PutUint64(file[2*cluster+i*8:], entry)
	}
	return file
}

// One question is answered soon, whatever is in the tables.
func TestExtentLooksAtFewEntries(t *testing.T) {
	for name, tt := range map[string]struct {
		file        []byte
		least, most int64
		data        bool
	}{
		"zeros":        {tables(4096, 1, func(int) bool { return true }), 1024 * 512, 2048 * 512, false},
		"large tables": {largeTables(1), 1024 << 16, 2048 << 16, false},
		"one data":     {tables(4096, 512, func(int) bool { return true }), 1024 / 2 * 512, 2048 * 512, true},
		"no table":     {tables(4096, 0, func(int) bool { return false }), 1024 * 64 * 512, 2048 * 64 * 512, false},
	} {
		m, err := qcow2.Open("disk", memory{bytes.NewReader(tt.file)}, qcow2.Config{Memory: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		n, data, err := m.Extent(0)
		if err != nil || data != tt.data || n < tt.least || n > tt.most {
			t.Errorf("%s: %d bytes, data %v, %v", name, n, data, err)
		}
	}
}

// The backing file is asked once, since it may have a backing file as well.
func TestExtentAsksTheBackingFileOnce(t *testing.T) {
	file := tables(64, 0, func(i int) bool { return i%2 == 0 })
	m, err := qcow2.Open("disk", memory{bytes.NewReader(file)}, qcow2.Config{Memory: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	backing := &counted{memory: memory{bytes.NewReader(make([]byte, 1<<20))}}
	m.Attach(backing)
	for off := int64(0); off < 1<<20; off += 4096 {
		backing.extents = 0
		n, data, err := m.Extent(off)
		if err != nil || n != 512 || !data || backing.extents != 1 {
			t.Fatalf("%d bytes at %d, data %v, %v, %d questions", n, off, data, err, backing.extents)
		}
	}
	if n, data, err := m.Extent(1 << 20); err != nil || data || n < 512<<10 {
		t.Errorf("%d bytes past its end, data %v, %v", n, data, err)
	}
}
