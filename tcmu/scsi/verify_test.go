package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// verifies are the CDBs of VERIFY, with %x for byte 1, LBA and length.
var verifies = []string{"2f%02x%08x00%04x00", "af%02x%08x%08x0000", "8f%02x%016x%08x0000"}

const bytchk0, bytchk1, bytchk2, bytchk3 = 0x00, 0x02, 0x04, 0x06

func TestVerify(t *testing.T) {
	u := newUnit("thin", 512)
	before := slices.Clone(u.bytes)
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[at] ^= 0x01
		return b
	}
	three := u.bytes[5*512:][:3*512]
	copy(u.bytes[100*512:], bytes.Repeat(u.bytes[100*512:][:512], 600))
	same := u.bytes[100*512:][:512]
	for _, form := range verifies {
		for _, x := range []struct {
			name       string
			flags      byte
			lba, count int
			out        []byte
			fail       string
		}{
			{name: "BYTCHK 00b", lba: 5, count: 3},
			{name: "BYTCHK 00b ignores data-out", lba: 5, count: 3, out: stale(512)},
			{name: "all", lba: 0, count: 2048},
			{name: "zero blocks", lba: 5, count: 0},
			{name: "zero blocks at the end", lba: 2048, count: 0, flags: bytchk1},
			{name: "zero blocks past the end", lba: 2049, count: 0, fail: "5/21/00 info 2049"},
			{name: "past the end", lba: 2047, count: 2, flags: bytchk1, out: stale(1024), fail: "5/21/00 info 2047"},
			{name: "DPO", flags: 0x10, lba: 5, count: 3},
			{name: "BYTCHK 01b", flags: bytchk1, lba: 5, count: 3, out: three},
			{name: "BYTCHK 01b, more data-out than needed", flags: bytchk1, lba: 5, count: 2, out: three},
			{name: "BYTCHK 01b DPO", flags: bytchk1 | 0x10, lba: 5, count: 3, out: three},
			{name: "BYTCHK 01b, first byte differs", flags: bytchk1, lba: 5, count: 3, out: flip(three, 0), fail: "e/1d/00 info 0"},
			{name: "BYTCHK 01b, a byte differs", flags: bytchk1, lba: 5, count: 3, out: flip(three, 1000), fail: "e/1d/00 info 1000"},
			{name: "BYTCHK 01b, last byte differs", flags: bytchk1, lba: 5, count: 3, out: flip(three, 1535), fail: "e/1d/00 info 1535"},
			{name: "BYTCHK 01b, the first of two differences", flags: bytchk1, lba: 5, count: 3, out: flip(flip(three, 9), 700), fail: "e/1d/00 info 9"},
			{name: "BYTCHK 01b, difference after the range", flags: bytchk1, lba: 5, count: 2, out: flip(three, 1024)},
			{name: "BYTCHK 01b, no data-out", flags: bytchk1, lba: 5, count: 3, fail: "5/1a/00"},
			{name: "BYTCHK 01b, short data-out", flags: bytchk1, lba: 5, count: 3, out: three[:1535], fail: "5/1a/00"},
			{name: "BYTCHK 10b", flags: bytchk2, lba: 5, count: 3, out: three, fail: "5/24/00 cdb 1.2"},
			{name: "BYTCHK 11b", flags: bytchk3, lba: 100, count: 600, out: same},
			{name: "BYTCHK 11b of one block", flags: bytchk3, lba: 7, count: 1, out: u.bytes[7*512:][:512]},
			{name: "BYTCHK 11b, a byte differs", flags: bytchk3, lba: 100, count: 600, out: flip(same, 77), fail: "e/1d/00 info 77"},
			{name: "BYTCHK 11b, short data-out", flags: bytchk3, lba: 100, count: 600, out: same[:511], fail: "5/1a/00"},
			{name: "BYTCHK 11b, zero blocks", flags: bytchk3, lba: 100, count: 0},
		} {
			for _, shape := range shapes {
				cdb := unhex(fmt.Sprintf(form, x.flags, x.lba, x.count))
				n, why := execute(t, u.Disk, cdb, split(slices.Clone(x.out), shape...)...)
				if n != 0 || why != x.fail {
					t.Errorf("%x %s in pieces of %d: sense data %q, want %q; %d bytes of data-in", cdb, x.name, shape, why, x.fail, n)
				}
			}
		}
		// A later block differs from the one block of data-out.
		cdb := unhex(fmt.Sprintf(form, bytchk3, 100, 601))
		if _, why := execute(t, u.Disk, cdb, slices.Clone(same)); !strings.HasPrefix(why, "e/1d/00 info") {
			t.Errorf("%x: sense data %q", cdb, why)
		}
	}
	copy(before[100*512:], u.bytes[100*512:][:600*512])
	if !bytes.Equal(before, u.bytes) {
		t.Error("VERIFY changed the image")
	}
	if s := u.Stats(); s.Reads != 0 || s.ReadBytes != 0 || s.Writes != 0 {
		t.Errorf("VERIFY is counted: %+v", s)
	}
}

func TestVerifyReadsEveryBlockOnce(t *testing.T) {
	u := newUnit("thin", 512)
	execute(t, u.Disk, unhex("2f 00 00000001 00 0600 00"))
	next := 512
	for _, call := range u.calls {
		var n, off int
		if _, err := fmt.Sscanf(call, "read %d at %d", &n, &off); err != nil || off != next || n <= 0 {
			t.Fatalf("%q after the end of the last at %d", call, next)
		}
		next = off + n
	}
	if next != 512+0x600*512 {
		t.Errorf("read up to %d", next)
	}
}

func TestVerifyFindsOffsetAcrossChunks(t *testing.T) {
	u := newUnit("thin", 4096)
	const at = 600000
	out := slices.Clone(u.bytes[4096:])
	out[at]++
	if _, why := execute(t, u.Disk, unhex("2f 02 00000001 00 00ff 00"), split(out, 1000)...); why != fmt.Sprint("e/1d/00 info ", at) {
		t.Errorf("sense data %q, want offset %d", why, at)
	}
}

func TestVerifyMaximumTransferLength(t *testing.T) {
	d, v := newHugeDisk(1<<40, 512)
	limit := limits(t, d).transfer
	if _, why := execute(t, d, unhex(fmt.Sprintf(verifies[2], bytchk0, 0, limit))); why != "" {
		t.Errorf("at the limit: sense data %q", why)
	}
	*v.calls = nil
	cdb := unhex(fmt.Sprintf(verifies[2], bytchk0, 0, limit+1))
	if _, why := execute(t, d, cdb); !strings.HasPrefix(why, "5/24/00") || len(*v.calls) > 0 {
		t.Errorf("a block too many: sense data %q, store calls %q", why, *v.calls)
	}
}

func TestPrefetch(t *testing.T) {
	for _, tt := range []struct {
		name, cdb string
		calls     []string
		fail      string
	}{
		{"(10)", "34 00 00000005 00 0002 00", []string{"read 1024 at 2560"}, ""},
		{"(10) IMMED", "34 02 00000005 00 0002 00", []string{"read 1024 at 2560"}, ""},
		{"(10) GROUP NUMBER, set by initiators", "34 00 00000005 03 0002 00", []string{"read 1024 at 2560"}, ""},
		{"(16) GROUP NUMBER, set by initiators", "90 02 0000000000000005 00000002 03 00", []string{"read 1024 at 2560"}, ""},
		{"(10) the last block", "34 00 000007ff 00 0001 00", []string{"read 512 at 1048064"}, ""},
		{"(10) to the end", "34 00 000007fe 00 0000 00", []string{"read 1024 at 1047552"}, ""},
		{"(10) to the end, from the end", "34 00 00000800 00 0000 00", nil, ""},
		{"(10) no blocks past the end", "34 00 00000801 00 0000 00", nil, "5/21/00 info 2049"},
		{"(10) past the end", "34 00 000007ff 00 0002 00", nil, "5/21/00 info 2047"},
		{"(16)", "90 00 0000000000000005 00000002 00 00", []string{"read 1024 at 2560"}, ""},
		{"(16) IMMED", "90 02 0000000000000005 00000002 00 00", []string{"read 1024 at 2560"}, ""},
		{"(16) to the end", "90 00 00000000000007ff 00000000 00 00", []string{"read 512 at 1048064"}, ""},
		{"(16) LBA wraps", "90 00 ffffffffffffffff 00000001 00 00", nil, "5/21/00"},
		{"(16) past the end", "90 00 0000000000000000 00000801 00 00", nil, "5/21/00 info 0"},
		{"(16) SYNC_NV", "90 04 0000000000000000 00000001 00 00", nil, "5/24/00 cdb 1.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnit("read-only", 512)
			n, why := execute(t, u.Disk, unhex(tt.cdb))
			if n != 0 || why != tt.fail || !slices.Equal(u.calls, tt.calls) {
				t.Errorf("sense data %q, want %q; store calls %q, want %q", why, tt.fail, u.calls, tt.calls)
			}
		})
	}
	u := newUnit("read-only", 512)
	u.fails["read"] = unix.EIO
	if _, why := execute(t, u.Disk, unhex("34 00 00000005 00 0002 00")); why != "3/11/00 info 5" {
		t.Errorf("unreadable blocks: sense data %q", why)
	}
}

func TestPrefetchLimit(t *testing.T) {
	d, v := newHugeDisk(1<<40, 512)
	limit := int64(binary.BigEndian.Uint32(dataIn(t, d, "12 01 b0 00ff 00")[16:])) * 512
	for _, cdb := range []string{"34 00 00000000 00 0000 00", "90 00 0000000000000000 7fffff00 00 00", "90 00 0000000000000000 00000000 00 00"} {
		*v.calls = nil
		execute(t, d, unhex(cdb))
		sum := int64(0)
		for _, call := range *v.calls {
			var n, off int64
			if _, err := fmt.Sscanf(call, "read %d at %d", &n, &off); err != nil {
				t.Fatalf("%s: store calls %q", cdb, call)
			}
			sum += n
		}
		if sum == 0 || sum > limit {
			t.Errorf("%s: read %d bytes, limit %d", cdb, sum, limit)
		}
	}
}
