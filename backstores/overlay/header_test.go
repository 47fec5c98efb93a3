package overlay

import (
	"encoding/binary"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

func testHeader(size int64) *header {
	h := &header{layout: layOut(size), base: "/images/base.img", format: "raw"}
	h.record.id = identity{size: size, changed: 1234567890123456789, digest: [32]byte{1, 2, 3}}
	return h
}

func TestHeaderIsReadBack(t *testing.T) {
	for _, size := range []int64{1, 511, clusterBytes, regionBytes + 1, 10 << 40, maxBytes} {
		h := testHeader(size)
		h.record.session = Session{7}
		for state := range 3 {
			h.record.committing, h.record.done = state > 0, state > 1
			h.record.unchanged = [32]byte{}
			if h.record.committing {
				h.record.unchanged[3] = 4
			}
			got, err := parseHeader(h.bytes())
			if err != nil {
				t.Fatal(err)
			}
			h.recordAt = got.recordAt
			if *got != *h {
				t.Errorf("%+v, want %+v", got, h)
			}
		}
	}
}

// No two parts overlap, and the refcounts cover all clusters.
func TestPartsDoNotOverlap(t *testing.T) {
	for size := int64(1); size <= maxBytes; size = size*3 + 4096 {
		l := layOut(size)
		at := int64(clusterBytes)
		for _, part := range []struct{ start, bytes int64 }{
			{l.l1, l.regions * 8}, {l.refTable, l.refBlockCount * 8}, {l.refBlocks, l.refBlockCount * clusterBytes},
			{l.l2, l.regions * clusterBytes}, {l.data, size}, {l.marks, l.regions * marksBytes},
		} {
			if part.start < at || part.start%clusterBytes != 0 {
				t.Fatalf("%d bytes: %+v: a part at %d, the one before ends at %d", size, l, part.start, at)
			}
			at = part.start + part.bytes
		}
		if l.refBlockCount*refsPerBlock*clusterBytes < l.end || l.regions*regionBytes < size {
			t.Errorf("%d bytes: %+v", size, l)
		}
	}
}

// A power cut while BeginCommit writes the record leaves a commit with the whole
// digest, or none.
func TestHalfWrittenCommitIsNone(t *testing.T) {
	h := testHeader(1 << 20)
	old := h.bytes()
	h.record.committing, h.record.unchanged = true, [32]byte{9, 8, 7, 6}
	whole := h.bytes()
	for n := range recordBytes - commitAt {
		at := qcowHeaderSize + 8 + commitAt + n
		p := append(append([]byte(nil), whole[:at]...), old[at:]...)
		got, err := parseHeader(p)
		if err != nil {
			t.Fatal(err)
		}
		if got.record.committing && got.record.unchanged != h.record.unchanged {
			t.Errorf("with %d bytes of it written", n)
		}
	}
}

func FuzzOverlayHeader(f *testing.F) {
	for _, size := range []int64{1 << 20, 5 << 30} {
		f.Add(testHeader(size).bytes())
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := parseHeader(p)
		if err != nil {
			return
		}
		again, err := parseHeader(h.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if again.layout != h.layout || again.base != h.base || again.record.id != h.record.id {
			t.Errorf("%+v, written and read again %+v", h, again)
		}
	})
}

// FuzzOverlayMap opens an overlay with arbitrary bytes in a table, or in the
// pointers to tables.
func FuzzOverlayMap(f *testing.F) {
	const size = 64 << 20
	h := testHeader(size)
	f.Add(uint16(0), binary.BigEndian.AppendUint64(nil, uint64(h.table(0))|oneUser), true)
	f.Add(uint16(8), []byte{0, 0, 0, 0, 0, 0, 0, 3}, false)
	f.Fuzz(func(t *testing.T, at uint16, p []byte, pointers bool) {
		d := newDisk(h.fileBytes())
		if err := h.writeTo(d); err != nil {
			t.Fatal(err)
		}
		o, err := newOverlay(d, size, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.WriteVec([][]byte{make([]byte, 4096)}, 1<<20, backstores.Durable); err != nil {
			t.Fatal(err)
		}
		off := h.table(0)
		if pointers {
			off = h.l1
		}
		d.change(p, off+int64(at), min(int64(len(p)), clusterBytes-int64(at)))
		if o, err = newOverlay(d, size, 2); err != nil {
			return
		}
		q := make([]byte, size)
		if err := o.ReadVec([][]byte{q}, 0, 0); err != nil {
			t.Error(err)
		}
	})
}
