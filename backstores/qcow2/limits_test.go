package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/qcow2"
)

// What a header claims is checked before memory is taken for it.
func TestHeaderClaimsTooMuch(t *testing.T) {
	b := binary.BigEndian
	h := qcow2.Header{ClusterBits: 16, Size: 1 << 30, L1Size: 2, L1At: 1 << 16, RefcountOrder: 4}
	file := append(h.Bytes(), make([]byte, 3<<16)...)
	for want, change := range map[string]func([]byte){
		"has clusters of 2^8 bytes, not 2^9 to 2^21":                                    func(p []byte) { b.PutUint32(p[20:], 8) },
		"has clusters of 2^34 bytes, not 2^9 to 2^21":                                   func(p []byte) { b.PutUint32(p[20:], 34) },
		"has refcounts of 2^7 bits, more than 2^6":                                      func(p []byte) { b.PutUint32(p[96:], 7) },
		"says that its disk has 18446744073709551615 bytes":                             func(p []byte) { b.PutUint64(p[24:], 1<<64-1) },
		"has a disk of no bytes":                                                        func(p []byte) { b.PutUint64(p[24:], 511) },
		"has an L1 table of 34359738240 bytes, more than 33554432":                      func(p []byte) { b.PutUint32(p[36:], 0xfffffff0) },
		"has an L1 table of 2 entries, and its disk needs 4":                            func(p []byte) { b.PutUint64(p[24:], 1<<30+1<<29+512) },
		"has its L1 table at 65544, which is not the start of a cluster":                func(p []byte) { b.PutUint64(p[40:], 1<<16+8) },
		"is cut short: it has 196720 bytes, and its L1 table is at 262144":              func(p []byte) { b.PutUint64(p[40:], 4<<16) },
		"is cut short: it has 196720 bytes, and its L1 table is at 9223372036854775808": func(p []byte) { b.PutUint64(p[40:], 1<<63) },
		"the header has a length that QCOW2 does not allow":                             func(p []byte) { b.PutUint32(p[100:], 8) },
		"a header extension is larger than the header":                                  func(p []byte) { b.PutUint32(p[104:], 1); b.PutUint32(p[108:], 1<<31) },
		"the name of the backing file is too long, or outside the header":               func(p []byte) { b.PutUint64(p[8:], 112); b.PutUint32(p[16:], 1<<30) },
		"is encrypted":                func(p []byte) { p[35] = 2 },
		"its data is in another file": func(p []byte) { p[79] = 4 },
		"has a feature that lunserve does not know: incompatible feature 5":   func(p []byte) { p[79] = 32 },
		"has a compression type that contradicts its features":                func(p []byte) { p[79] = 8 },
		"has extended L2 entries and clusters of 4096 bytes, less than 16384": func(p []byte) { p[79], p[23] = 16, 12 },
		"is not a qcow2 image": func(p []byte) { p[7] = 4 },
		"has a feature that lunserve does not know: incompatible feature 6, by its header a b": func(p []byte) { p[79] = 64; copy(p[104:], "\x68\x03\xf8\x57\x00\x00\x00\x30\x00\x06a b") },
	} {
		p := bytes.Clone(file)
		change(p)
		if got := failure(t, p); got != "disk: "+want {
			t.Errorf("%q,\n want %q", got, want)
		}
	}
	if got := failure(t, file); got != "" {
		t.Error(got)
	}
}

// failure opens a file, which takes little memory, and returns the error.
func failure(t *testing.T, p []byte) string {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := qcow2.Open("disk", memory{bytes.NewReader(p)}, qcow2.Config{Memory: 4 << 20})
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("took %d bytes", took)
	}
	if err != nil {
		return err.Error()
	}
	m.Close()
	return ""
}

// A damaged entry is the error of the reads that need it, and of no others.
func TestDamagedEntryFailsItsReads(t *testing.T) {
	b := binary.BigEndian
	h := qcow2.Header{ClusterBits: 16, Size: 2 << 30, L1Size: 4, L1At: 1 << 16, RefcountOrder: 4}
	file := append(h.Bytes(), make([]byte, 4<<16)...)[:4<<16]
	b.PutUint64(file[1<<16:], 2<<16|qcow2.Copied)
	b.PutUint64(file[1<<16+8:], 2<<16+512)
	b.PutUint64(file[1<<16+16:], 4<<16)
	for i, e := range []uint64{3 << 16, 3<<16 + 512, 4 << 16, 1 << 62, 1<<62 | 5<<16, 1 | 3<<16} {
		b.PutUint64(file[2<<16+i*8:], e)
	}
	copy(file[3<<16:], "data")
	m, err := qcow2.Open("disk", memory{bytes.NewReader(file)}, qcow2.Config{Memory: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for off, want := range map[int64]string{
		0:       "",
		1 << 16: "disk: is damaged: cluster at 65536: its data is at 197120, which is not the start of a cluster",
		2 << 16: "disk: is damaged: cluster at 131072: its data is at 262144, and the file ends at 262144",
		3 << 16: "disk: is damaged: cluster at 196608: at 0 in the file: is no deflate stream",
		4 << 16: "disk: is damaged: cluster at 262144: its data is at 327680, and the file ends at 262144",
		5 << 16: "",
		6 << 16: "",
		1 << 29: "disk: is damaged: L2 table 1 is at 131584 of 262144 bytes",
		1 << 30: "disk: is damaged: L2 table 2 is at 262144 of 262144 bytes",
		3 << 29: "",
	} {
		p := make([]byte, 512)
		got := ""
		if _, err := m.ReadAt(p, off); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("at %d: %q,\n want %q", off, got, want)
		}
		if want == "" && strings.HasPrefix(string(p), "data") != (off == 0) {
			t.Errorf("at %d: %q", off, p[:4])
		}
	}
}
