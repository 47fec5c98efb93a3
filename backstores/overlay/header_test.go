package overlay

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
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
		at := qcow2.HeaderSize + 8 + commitAt + n
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

// The marks count only while both bits are set, in the session of the record.
func TestMarksCountUnderBothBits(t *testing.T) {
	for _, row := range []struct {
		dirty, autoclear bool
		session          Session
		want             bool
	}{
		{true, true, Session{7}, true},
		{true, true, Session{8}, false},
		{true, false, Session{7}, false}, // another program has opened the file for writing
		{false, true, Session{7}, false}, // QEMU has committed into it
		{false, false, Session{7}, false},
	} {
		h := testHeader(1 << 20)
		h.record.session = Session{7}
		p := h.bytes()
		if row.dirty {
			p[79] |= 1
		}
		if row.autoclear {
			p[89] |= 0x80
		}
		got, err := parseHeader(p)
		if err != nil {
			t.Fatal(err)
		}
		if got.marksCountIn(row.session) != row.want {
			t.Errorf("%+v", row)
		}
	}
}

// A lunserve without these bits requires zeros there, and no feature names.
func TestOverlayOfAnotherVersion(t *testing.T) {
	h := testHeader(1 << 20)
	d := newDisk(h.fileBytes())
	if err := h.writeTo(d); err != nil {
		t.Fatal(err)
	}
	o, err := newOverlay(d, 1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.WriteVec([][]byte{make([]byte, 4096)}, 8192, backstores.Durable); err != nil {
		t.Fatal(err)
	}
	if p := d.state(0); binary.BigEndian.Uint64(p[72:]) != qcow2.Dirty|qcow2.ExtendedL2 || binary.BigEndian.Uint64(p[88:]) != marksBit {
		t.Errorf("open: %x", p[72:96])
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if p := d.state(0); binary.BigEndian.Uint64(p[72:]) != qcow2.ExtendedL2 || binary.BigEndian.Uint64(p[88:]) != 0 {
		t.Errorf("closed: %x", p[72:96])
	}

	// Its header, and the mark of a write that it has not flushed.
	saved := featureNames
	featureNames = nil
	p := h.bytes()
	featureNames = saved
	h.record.session = Session{1}
	d.change(make([]byte, sector), 0, sector)
	d.change(p, 0, int64(len(p)))
	d.change([]byte{1}, h.marksOf(0)+5, 1)
	if o, err = newOverlay(d, 1<<20, 1); err != nil {
		t.Fatal(err)
	}
	if !o.has(8192) || o.has(5*BlockBytes) {
		t.Errorf("flushed: %v, not flushed: %v", o.has(8192), o.has(5*BlockBytes))
	}
	if p := d.state(h.marksOf(0) / sector); p[5] != 0 {
		t.Error("the mark is still there, and counts from now on")
	}
}

// What may be added to the header without a sign in its fields is refused.
func TestForeignExtensionsAreRefused(t *testing.T) {
	p := testHeader(1 << 20).bytes()
	for kind, want := range map[uint32]string{
		qcow2.Bitmaps: "it has bitmaps",
		0x0537be77:    "it has a header extension 0x0537be77",
	} {
		q := append([]byte(nil), p[:qcow2.HeaderSize]...)
		q = binary.BigEndian.AppendUint32(q, kind)
		q = append(binary.BigEndian.AppendUint32(q, 24), make([]byte, 24)...)
		q = append(q, p[qcow2.HeaderSize:]...)
		binary.BigEndian.PutUint64(q[8:], binary.BigEndian.Uint64(q[8:])+32)
		if _, err := parseHeader(q); !errors.Is(err, ErrChanged) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// QEMU can read an overlay that is [ErrChanged]. If its data were in a file that
// its header names, QEMU would read that.
func TestOverlayWithDataFileIsNotForQEMU(t *testing.T) {
	p := testHeader(1 << 20).bytes()
	p[qcow2.FeaturesAt+7] |= qcow2.ExternalData
	if _, err := parseHeader(p); !errors.Is(err, ErrNoOverlay) || errors.Is(err, ErrChanged) {
		t.Error(err)
	}
}

func FuzzOverlayHeader(f *testing.F) {
	for _, size := range []int64{1 << 20, 5 << 30} {
		h := testHeader(size)
		f.Add(h.bytes())
		h.marksCount = true
		f.Add(h.bytes())
		for _, at := range []int{79, 87, 89, 95} { // one bit alone, and bits of others
			p := h.bytes()
			p[at] ^= 0x81
			f.Add(p)
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		IsOverlay(p)
		h, err := parseHeader(p)
		if err != nil {
			return
		}
		if !IsOverlay(p) {
			t.Error("is not recognised")
		}
		if h.marksCount && (p[79]&1 == 0 || p[89]&0x80 == 0) {
			t.Error("marks count without their bits")
		}
		again, err := parseHeader(h.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if again.layout != h.layout || again.base != h.base || again.record.id != h.record.id || again.marksCount != h.marksCount {
			t.Errorf("%+v, written and read again %+v", h, again)
		}
	})
}

// FuzzOverlayMap opens an overlay with arbitrary bytes in one of its parts.
// Blocks that only their mark names are present only if the marks count.
func FuzzOverlayMap(f *testing.F) {
	const size = 2 << 20
	h := testHeader(size)
	parts := []int64{h.l1, h.table(0), h.refTable, h.marks, qcow2.FeaturesAt}
	both, one := featureBytes(true), featureBytes(true)
	clear(one[16:])
	pointer := binary.BigEndian.AppendUint64(nil, uint64(h.table(0))|qcow2.Copied)
	f.Add(uint8(0), uint16(0), pointer, featureBytes(false), false)
	f.Add(uint8(1), uint16(8), []byte{0, 0, 0, 0, 0, 0, 0, 3}, both, true)
	f.Add(uint8(2), uint16(8), pointer, both, true)
	f.Add(uint8(3), uint16(7), []byte{1, 2, 1}, both, true)
	f.Add(uint8(3), uint16(7), []byte{1, 2, 1}, both, false)
	f.Add(uint8(3), uint16(7), []byte{1, 2, 1}, one, true)
	f.Add(uint8(3), uint16(600), bytes.Repeat([]byte{1}, 512), both, true) // past the disk
	f.Add(uint8(4), uint16(16), []byte{0xff}, both, true)
	written := newDisk(h.fileBytes())
	if err := h.writeTo(written); err != nil {
		f.Fatal(err)
	}
	o, err := newOverlay(written, size, 1)
	if err == nil {
		err = o.WriteVec([][]byte{make([]byte, 4096)}, 1<<20, backstores.Durable)
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, part uint8, at uint16, p, bits []byte, session bool) {
		d := written.now()
		d.change(bits, qcow2.FeaturesAt, int64(min(len(bits), 24)))
		d.change(p, parts[int(part)%len(parts)]+int64(at), min(int64(len(p)), clusterBytes-int64(at)))
		boot := byte(2)
		if session {
			boot = 1
		}
		before := d.state(0)
		counted := before[79]&1 != 0 && before[89]&0x80 != 0 && Session(before[qcow2.HeaderSize+8+sessionAt:][:16]) == Session{boot}
		o, err := newOverlay(d, size, boot)
		if err != nil {
			return
		}
		table := make([]byte, clusterBytes)
		d.ReadVec([][]byte{table}, h.table(0), 0)
		for b := range int64(size / BlockBytes) {
			mapped := table[b/blocksPerCluster*l2EntryBytes+15-b%blocksPerCluster/8]>>(b%8)&1 != 0
			if o.present[0].Load() != nil && o.has(b*BlockBytes) != mapped && !counted {
				t.Fatalf("block %d: in the map: %v", b, mapped)
			}
		}
		q := make([]byte, size)
		if err := o.ReadVec([][]byte{q}, 0, 0); err != nil {
			t.Error(err)
		}
	})
}

// An overlay that another version of lunserve reads has these bytes.
func TestBytesOfAnOverlayStay(t *testing.T) {
	sum := sha256.New()
	for _, size := range []int64{511, 1 << 30, 10 << 40} {
		h := testHeader(size)
		sum.Write(h.bytes())
		h.marksCount, h.record.session = true, Session{7}
		h.record.committing, h.record.unchanged = true, [32]byte{9}
		sum.Write(h.bytes())
		parts := h.frame()
		for _, off := range slices.Sorted(maps.Keys(parts)) {
			sum.Write(binary.BigEndian.AppendUint64(nil, uint64(off)))
			sum.Write(parts[off])
		}
		var page [partBytes]byte
		h.encode(page[:], &part{bits: [clustersPerPart]uint32{1, 0xff00ff00}})
		sum.Write(page[:])
	}
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); got != "a8c025436d903a36" {
		t.Errorf("the bytes are other ones: %s", got)
	}
}
