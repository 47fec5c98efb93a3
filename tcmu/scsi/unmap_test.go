package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A limit holds the limits of the Block Limits VPD page in blocks.
type limit struct{ transfer, unmap, descriptors, writeSame int }

func limits(t *testing.T, d *Disk) limit {
	t.Helper()
	b := dataIn(t, d, "12 01 b0 00ff 00")
	return limit{
		transfer:    int(binary.BigEndian.Uint32(b[8:])),
		unmap:       int(binary.BigEndian.Uint32(b[20:])),
		descriptors: int(binary.BigEndian.Uint32(b[24:])),
		writeSame:   int(binary.BigEndian.Uint64(b[36:])),
	}
}

// unmapList returns the parameter list of UNMAP for pairs of LBA and length.
func unmapList(ranges ...int) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(6+8*len(ranges)))
	b = binary.BigEndian.AppendUint16(b, uint16(8*len(ranges)))
	b = append(b, 0, 0, 0, 0)
	for i := 0; i < len(ranges); i += 2 {
		b = binary.BigEndian.AppendUint64(b, uint64(ranges[i]))
		b = binary.BigEndian.AppendUint32(b, uint32(ranges[i+1]))
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

func unmapCDB(length int) []byte { return unhex(fmt.Sprintf("42 00 00000000 00 %04x 00", length)) }

func TestUnmap(t *testing.T) {
	for _, tt := range []struct {
		name string
		cdb  string
		list string
		done []string
		fail string
	}{
		{name: "no parameter list", cdb: "42 00 00000000 00 0000 00"},
		{name: "header alone", cdb: "42 00 00000000 00 0008 00", list: "0006 0000 00000000"},
		{name: "list shorter than its header", cdb: "42 00 00000000 00 0007 00", list: "0006 0000 000000", fail: "5/1a/00"},
		{name: "one byte", cdb: "42 00 00000000 00 0001 00", list: "00", fail: "5/1a/00"},
		{name: "no data-out", cdb: "42 00 00000000 00 0018 00", fail: "5/1a/00"},
		{name: "less data-out than the length", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  0000000000000008 00000001 000000", fail: "5/1a/00"},
		{name: "one range", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  0000000000000008 00000010 00000000", done: []string{"trim 8192 at 4096"}},
		{name: "one range of one block", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  00000000000007ff 00000001 00000000", done: []string{"trim 512 at 1048064"}},
		{name: "more data-out than the length", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  0000000000000008 00000010 00000000 ffffffff", done: []string{"trim 8192 at 4096"}},
		{name: "two ranges", cdb: "42 00 00000000 00 0028 00",
			list: "0026 0020 00000000  0000000000000008 00000008 00000000  0000000000000001 00000001 00000000",
			done: []string{"trim 4096 at 4096", "trim 512 at 512"}},
		{name: "range of zero blocks", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  0000000000000008 00000000 00000000"},
		{name: "range of no blocks at the end", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  0000000000000800 00000000 00000000"},
		{name: "range of no blocks past the end", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  0000000000000801 00000000 00000000", fail: "5/21/00 info 2049"},
		{name: "descriptor truncated by the descriptor length is ignored", cdb: "42 00 00000000 00 0028 00",
			list: "0026 001f 00000000  0000000000000008 00000008 00000000  0000000000000001 00000001 00000000",
			done: []string{"trim 4096 at 4096"}},
		{name: "descriptor truncated by the parameter list is ignored", cdb: "42 00 00000000 00 0020 00",
			list: "0026 0020 00000000  0000000000000008 00000008 00000000  0000000000000001",
			done: []string{"trim 4096 at 4096"}},
		{name: "past the end", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  00000000000007ff 00000002 00000000", fail: "5/21/00 info 2047"},
		{name: "LBA wraps", cdb: "42 00 00000000 00 0018 00",
			list: "0016 0010 00000000  ffffffffffffffff 00000002 00000000", fail: "5/21/00"},
		{name: "the last of three ranges past the end", cdb: "42 00 00000000 00 0038 00",
			list: "0036 0030 00000000  0000000000000000 00000008 00000000  0000000000000010 00000008 00000000  0000000000000800 00000001 00000000",
			fail: "5/21/00 info 2048"},
		{name: "ANCHOR", cdb: "42 01 00000000 00 0000 00", fail: "5/24/00 cdb 1.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, shape := range shapes {
				u := newUnit("thin", 512)
				want := slices.Clone(u.bytes)
				for _, call := range tt.done {
					var n, off int
					fmt.Sscanf(call, "trim %d at %d", &n, &off)
					clear(want[off : off+n])
				}
				_, why := execute(t, u.Disk, unhex(tt.cdb), split(unhex(tt.list), shape...)...)
				if why != tt.fail {
					t.Errorf("sense data %q, want %q", why, tt.fail)
				}
				if !slices.Equal(u.calls, tt.done) || !bytes.Equal(u.bytes, want) {
					t.Errorf("store calls %q, want %q", u.calls, tt.done)
				}
			}
		})
	}
}

// merged returns calls with those of one kind made one that follow each other
// without a gap: the slices of a command.
func merged(calls []string) (all []string) {
	var kind string
	var off, end int64
	for _, call := range calls {
		var k string
		var n, at int64
		fmt.Sscanf(call, "%s %d at %d", &k, &n, &at)
		if len(all) > 0 && k == kind && at == end {
			end += n
			all[len(all)-1] = fmt.Sprintf("%s %d at %d", kind, end-off, off)
			continue
		}
		kind, off, end = k, at, at+n
		all = append(all, call)
	}
	return all
}

func TestUnmapLimits(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		d, v := newHugeDisk(1<<50, blockSize)
		limit := limits(t, d)
		if limit.unmap < 4096/blockSize || limit.descriptors < 1 {
			t.Fatalf("limits %+v", limit)
		}
		many := make([]int, 2*limit.descriptors)
		for i := range limit.descriptors {
			many[2*i], many[2*i+1] = 16*i, 1
		}
		for _, x := range []struct {
			name  string
			list  []byte
			calls int
			fail  string
		}{
			{"the limit of blocks", unmapList(0, limit.unmap), 1, ""},
			{"the limit of blocks, in two ranges", unmapList(0, limit.unmap-8, 1<<30, 8), 2, ""},
			{"a block too many", unmapList(0, limit.unmap+1), 0, "5/26/00"},
			{"a block too many, in two ranges", unmapList(0, limit.unmap-8, 1<<30, 9), 0, "5/26/00"},
			{"the limit of descriptors", unmapList(many...), limit.descriptors, ""},
			{"a descriptor too many", unmapList(append(many, 0, 1)...), 0, "5/26/00"},
		} {
			*v.calls = nil
			_, why := execute(t, d, unmapCDB(len(x.list)), x.list)
			if len(merged(*v.calls)) != x.calls || why != x.fail && !(x.fail != "" && strings.HasPrefix(why, x.fail+" list ")) {
				t.Errorf("%s: sense data %q, want %q; %d calls of the store, want %d", x.name, why, x.fail, len(merged(*v.calls)), x.calls)
			}
		}
	}
}

func TestWriteSame(t *testing.T) {
	block := randomBytes(1 << 12)[1<<12-512:]
	zeros := make([]byte, 512)
	almost := slices.Clone(zeros)
	almost[511] = 1
	for _, tt := range []struct {
		name    string
		variant string
		cdb     string
		out     []byte
		lba, n  int    // the changed blocks
		with    []byte // their contents
		calls   []string
		fail    string
	}{
		{name: "(10) pattern", cdb: "41 00 00000003 00 0005 00", out: block, lba: 3, n: 5, with: block},
		{name: "(16) pattern", cdb: "93 00 0000000000000003 00000005 00 00", out: block, lba: 3, n: 5, with: block},
		{name: "(16) pattern over more than a chunk", cdb: "93 00 0000000000000003 000002bd 00 00", out: block, lba: 3, n: 701, with: block},
		{name: "(16) pattern over all", cdb: "93 00 0000000000000000 00000800 00 00", out: block, lba: 0, n: 2048, with: block},
		{name: "(16) pattern to the last block", cdb: "93 00 00000000000007ff 00000001 00 00", out: block, lba: 2047, n: 1, with: block},
		{name: "(10) zeros", cdb: "41 00 00000003 00 0005 00", out: zeros, lba: 3, n: 5, with: zeros, calls: []string{"zero 2560 at 1536"}},
		{name: "(16) zeros", cdb: "93 00 0000000000000003 00000005 00 00", out: zeros, lba: 3, n: 5, with: zeros, calls: []string{"zero 2560 at 1536"}},
		{name: "(16) NDOB", cdb: "93 01 0000000000000003 00000005 00 00", lba: 3, n: 5, with: zeros, calls: []string{"zero 2560 at 1536"}},
		{name: "(10) UNMAP, zeros", cdb: "41 08 00000003 00 0005 00", out: zeros, lba: 3, n: 5, with: zeros, calls: []string{"trim 2560 at 1536"}},
		{name: "(16) UNMAP, zeros", cdb: "93 08 0000000000000003 00000005 00 00", out: zeros, lba: 3, n: 5, with: zeros, calls: []string{"trim 2560 at 1536"}},
		{name: "(16) UNMAP, NDOB", cdb: "93 09 0000000000000003 00000005 00 00", lba: 3, n: 5, with: zeros, calls: []string{"trim 2560 at 1536"}},
		{name: "(16) UNMAP, not zeros", cdb: "93 08 0000000000000003 00000005 00 00", out: almost, lba: 3, n: 5, with: almost},
		{name: "(10) UNMAP, pattern", cdb: "41 08 00000003 00 0005 00", out: block, lba: 3, n: 5, with: block},

		{name: "(10) pattern on a disk without UNMAP", variant: "writable", cdb: "41 00 00000003 00 0005 00", out: block, lba: 3, n: 5, with: block},
		{name: "(10) zeros on a disk without UNMAP", variant: "writable", cdb: "41 00 00000003 00 0005 00", out: zeros, lba: 3, n: 5, with: zeros},
		{name: "(16) NDOB on a disk without UNMAP", variant: "writable", cdb: "93 01 0000000000000003 00000005 00 00", lba: 3, n: 5, with: zeros},
		{name: "(10) UNMAP on a disk without UNMAP", variant: "writable", cdb: "41 08 00000003 00 0005 00", out: zeros, fail: "5/24/00 cdb 1.3"},
		{name: "(16) UNMAP on a disk without UNMAP", variant: "writable", cdb: "93 09 0000000000000003 00000005 00 00", fail: "5/24/00 cdb 1.3"},

		{name: "(10) ANCHOR", cdb: "41 18 00000003 00 0005 00", out: zeros, fail: "5/24/00 cdb 1.4"},
		{name: "(16) ANCHOR", cdb: "93 18 0000000000000003 00000005 00 00", out: zeros, fail: "5/24/00 cdb 1.4"},
		{name: "(16) ANCHOR without UNMAP", cdb: "93 10 0000000000000003 00000005 00 00", out: zeros, fail: "5/24/00 cdb 1.4"},
		{name: "(10) LBDATA, PBDATA", cdb: "41 06 00000003 00 0005 00", out: zeros, fail: "5/24/00 cdb 1.2"},
		{name: "(10) NDOB, not supported", cdb: "41 01 00000003 00 0005 00", out: zeros, fail: "5/24/00 cdb 1.0"},
		{name: "(10) past the end", cdb: "41 00 000007ff 00 0002 00", out: block, fail: "5/21/00 info 2047"},
		{name: "(16) past the end, UNMAP", cdb: "93 09 0000000000000001 00000800 00 00", fail: "5/21/00 info 1"},
		{name: "(10) no data-out", cdb: "41 00 00000003 00 0005 00", fail: "5/"},
		{name: "(10) two blocks of data-out", cdb: "41 00 00000003 00 0005 00", out: randomBytes(1024), fail: "5/"},
		{name: "(16) UNMAP, two blocks of data-out", cdb: "93 08 0000000000000003 00000005 00 00", out: make([]byte, 1024), fail: "5/"},
		{name: "(16) half a block of data-out", cdb: "93 00 0000000000000003 00000005 00 00", out: block[:256], fail: "5/"},
		{name: "(16) UNMAP, half a block of data-out", cdb: "93 08 0000000000000003 00000005 00 00", out: zeros[:256], fail: "5/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, shape := range [][]int{{512}, {1, 100}} {
				variant := tt.variant
				if variant == "" {
					variant = "thin"
				}
				u := newUnit(variant, 512)
				want := slices.Clone(u.bytes)
				copy(want[tt.lba*512:], bytes.Repeat(tt.with, tt.n))
				_, why := execute(t, u.Disk, unhex(tt.cdb), split(slices.Clone(tt.out), shape...)...)
				if why != tt.fail && !(tt.fail == "5/" && strings.HasPrefix(why, "5/")) {
					t.Errorf("sense data %q, want %q", why, tt.fail)
				}
				if !bytes.Equal(u.bytes, want) {
					t.Error("wrong image contents")
				}
				if tt.calls != nil && !slices.Equal(u.calls, tt.calls) || tt.fail != "" && len(u.calls) > 0 {
					t.Errorf("store calls %q, want %q", u.calls, tt.calls)
				}
			}
		})
	}
}

// WSNZ in the Block Limits VPD page reports that.
func TestWriteSameOfZeroBlocksFails(t *testing.T) {
	u := newUnit("thin", 512)
	if b := dataIn(t, u.Disk, "12 01 b0 00ff 00"); b[4] != 1 {
		t.Errorf("WSNZ is %d", b[4])
	}
	zeros := strings.Repeat("00", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "(10)", cdb: "41 00 00000000 00 0000 00", out: zeros, fail: "5/24/00 cdb 7"},
		{name: "(10) UNMAP", cdb: "41 08 00000005 00 0000 00", out: zeros, fail: "5/24/00 cdb 7"},
		{name: "(16) NDOB", cdb: "93 01 0000000000000005 00000000 00 00", fail: "5/24/00 cdb 10"},
		{name: "(16) UNMAP, NDOB, at the end", cdb: "93 09 0000000000000800 00000000 00 00", fail: "5/24/00 cdb 10"},
		{name: "(16) past the end", cdb: "93 01 0000000000000801 00000000 00 00", fail: "5/21/00 info 2049"},
	})
	if len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
}

func TestWriteSameLimit(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		d, v := newHugeDisk(1<<40, blockSize)
		limit := limits(t, d).writeSame
		for flags, call := range map[int]string{0x01: "zero", 0x09: "trim"} {
			*v.calls = nil
			_, why := execute(t, d, unhex(fmt.Sprintf("93%02x %016x %08x 0000", flags, 16, limit)))
			if want := fmt.Sprintf("%s %d at %d", call, limit*blockSize, 16*blockSize); why != "" || !slices.Equal(merged(*v.calls), []string{want}) {
				t.Errorf("the limit of blocks: sense data %q, store calls %q, want %q", why, merged(*v.calls), want)
			}
			*v.calls = nil
			_, why = execute(t, d, unhex(fmt.Sprintf("93%02x %016x %08x 0000", flags, 16, limit+1)))
			if !strings.HasPrefix(why, "5/24/00") || len(*v.calls) > 0 {
				t.Errorf("a block too many: sense data %q, store calls %q", why, *v.calls)
			}
		}
	}
}
