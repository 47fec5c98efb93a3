package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A holey is a sparse store that knows its holes: data from zero to the first
// edge, a hole to the second, and so on. It answers no more than at a time.
type holey struct {
	sparse
	edges  []int64
	atMost int64
	err    error
}

func (h *holey) Extent(off int64) (n int64, data bool, err error) {
	if h.err != nil {
		return 0, false, h.err
	}
	if off < 0 || off >= h.Size() {
		return 0, false, errPast
	}
	data, end := true, h.Size()
	for _, edge := range h.edges {
		if off < edge {
			end = edge
			break
		}
		data = !data
	}
	return min(end-off, h.atMost), data, nil
}

func newHoley(size, blockSize int, edges ...int64) (*Disk, *holey) {
	h := &holey{edges: edges, atMost: 1 << 40}
	h.bytes = noise(size)
	return NewDisk(h, Options{BlockSize: blockSize}), h
}

const mapped, deallocated = "00 000000", "01 000000"

func TestLBAStatus(t *testing.T) {
	ask := func(lba string) string { return "9e 12 " + lba + " 00001000 00 00" }
	d, _ := newHoley(1<<20, 512, 4096, 8192, 16384)
	const (
		first = "0000000000000000 00000008" + mapped
		hole  = "0000000000000008 00000008" + deallocated
		more  = "0000000000000010 00000010" + mapped
		rest  = "0000000000000020 000007e0" + deallocated
	)
	converse(t, d, []exchange{
		{name: "all", cdb: ask("0000000000000000"), want: "00000044 00000000" + first + hole + more + rest},
		{name: "from within data", cdb: ask("0000000000000005"), want: "00000044 00000000  0000000000000005 00000003" + mapped + hole + more + rest},
		{name: "from a hole", cdb: ask("0000000000000008"), want: "00000034 00000000" + hole + more + rest},
		{name: "from within a hole", cdb: ask("000000000000000f"), want: "00000034 00000000  000000000000000f 00000001" + deallocated + more + rest},
		{name: "the last block", cdb: ask("00000000000007ff"), want: "00000014 00000000  00000000000007ff 00000001" + deallocated},
		{name: "past the end", cdb: ask("0000000000000800"), fail: "5/21/00 info 2048"},
		{name: "past the end, far", cdb: ask("ffffffffffffffff"), fail: "5/21/00"},
		{name: "past the end, nothing asked for", cdb: "9e 12 0000000000000800 00000000 00 00", fail: "5/21/00 info 2048"},
		{name: "REPORT TYPE", cdb: "9e 12 0000000000000000 00001000 01 00", fail: "5/24/00 cdb 14.0"},
	})
	// A clipped answer tells of as many descriptors as it has whole ones of,
	// and never of none.
	whole := raw(first + hole + more + rest)
	for allocation := 0; allocation <= 8+len(whole)+1; allocation++ {
		for _, room := range []int{allocation, 4096} {
			count := min(max((allocation-8)/16, 1), 4)
			want := slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(4+16*count)), make([]byte, 4), whole[:16*count])
			want = want[:min(len(want), allocation)]
			buf := filled(room)
			n, why := must(t, d, raw(fmt.Sprintf("9e 12 0000000000000000 %08x 00 00", allocation)), split(buf, 7, 100)...)
			if why != "" || !bytes.Equal(buf[:n], want) {
				t.Errorf("allocation length %d: sense data %q\n got %x\nwant %x", allocation, why, buf[:n], want)
			}
		}
	}
}

func TestLBAStatusWithoutHoles(t *testing.T) {
	all := exchange{name: "all", cdb: "9e 12 0000000000000000 00000100 00 00", want: "00000014 00000000  0000000000000000 00000800" + mapped}
	some := exchange{name: "some", cdb: "9e 12 0000000000000123 00000018 00 00", want: "00000014 00000000  0000000000000123 000006dd" + mapped}
	for _, ability := range abilities {
		t.Run(ability, func(t *testing.T) { converse(t, newUnit(ability, 512).Disk, []exchange{all, some}) })
	}
	// Where blocks are not given back there are no unmapped ones to speak of.
	h := &holey{edges: []int64{512}, atMost: 1 << 40}
	h.bytes = noise(1 << 20)
	d := NewDisk(struct {
		*ram
		extenter
	}{&h.ram, h}, Options{BlockSize: 512})
	converse(t, d, []exchange{all, some})
}

type extenter interface {
	Extent(int64) (int64, bool, error)
}

func TestLBAStatusOfMoreBlocksThanADescriptorHolds(t *testing.T) {
	d, _ := newVastUnit(5<<41, 512) // 5 × 2³² blocks
	converse(t, d, []exchange{
		{name: "one descriptor", cdb: "9e 12 0000000000000000 00000018 00 00", want: "00000014 00000000  0000000000000000 ffffffff" + mapped},
		{name: "two", cdb: "9e 12 0000000000000000 00000028 00 00",
			want: "00000024 00000000  0000000000000000 ffffffff" + mapped + "00000000ffffffff ffffffff" + mapped},
		{name: "the end", cdb: "9e 12 00000004fffffffe 00000028 00 00", want: "00000014 00000000  00000004fffffffe 00000002" + mapped},
	})
}

// TestLBAStatusAgreesWithTheHoles compares with a map made block by block, for
// holes that begin and end anywhere.
func TestLBAStatusAgreesWithTheHoles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, blockSize := range []int{512, 4096} {
		for range 200 {
			const size = 64<<10 + 300 // bytes that are left over are no block
			var edges []int64
			for range r.IntN(12) {
				edge := r.Int64N(size + 1)
				if r.IntN(2) == 0 {
					edge &^= int64(blockSize - 1)
				}
				edges = append(edges, edge)
			}
			slices.Sort(edges)
			edges = slices.Compact(edges)
			d, h := newHoley(size, blockSize, edges...)
			if r.IntN(2) == 0 {
				h.atMost = int64(blockSize) + r.Int64N(5000)
			}
			blocks := size / blockSize
			isMapped := make([]bool, blocks)
			for i := range isMapped {
				for off := i * blockSize; off < (i+1)*blockSize; off++ {
					n, _ := slices.BinarySearch(edges, int64(off)+1) // edges at or before off
					if n%2 == 0 {
						isMapped[i] = true
						break
					}
				}
			}
			start := r.IntN(blocks)
			buf := filled(8192)
			n, why := must(t, d, raw(fmt.Sprintf("9e 12 %016x 00002000 00 00", start)), buf)
			if why != "" || n < 24 || int(binary.BigEndian.Uint32(buf)) != n-4 {
				t.Fatalf("edges %d: sense data %q, % x", edges, why, buf[:n])
			}
			next, last := start, 2
			for b := buf[8:n]; len(b) > 0; b = b[16:] {
				lba, count := int(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint32(b[8:]))
				if lba != next || count < 1 || lba+count > blocks || b[12] > 1 || int(b[12]) == last || !bytes.Equal(b[13:16], []byte{0, 0, 0}) {
					t.Fatalf("edges %d: descriptor % x at block %d", edges, b[:16], next)
				}
				for i := lba; i < lba+count; i++ {
					if isMapped[i] != (b[12] == 0) {
						t.Fatalf("blocks of %d, edges %d: block %d is said to have provisioning status %d", blockSize, edges, i, b[12])
					}
				}
				next, last = lba+count, int(b[12])
			}
			if next != blocks {
				t.Fatalf("edges %d: told of the blocks up to %d", edges, next)
			}
		}
	}
}

func TestLBAStatusOfAStoreThatCannotTell(t *testing.T) {
	d, h := newHoley(1<<20, 512)
	h.err = unix.EIO
	converse(t, d, []exchange{
		{name: "GET LBA STATUS", cdb: "9e 12 0000000000000007 00000018 00 00", fail: "3/11/00 info 7"},
		{name: "LOG SENSE", cdb: "4d 00 4c 00 00 0000 0100 00", fail: "3/11/00 info 0"},
	})
}

func TestPrefetch(t *testing.T) {
	for _, tt := range []struct {
		name, cdb string
		calls     []string
		fail      string
	}{
		{"(10)", "34 00 00000005 00 0002 00", []string{"read 1024 at 2560"}, ""},
		{"(10) IMMED", "34 02 00000005 00 0002 00", []string{"read 1024 at 2560"}, ""},
		{"(10) GROUP NUMBER, which initiators set", "34 00 00000005 03 0002 00", []string{"read 1024 at 2560"}, ""},
		{"(16) GROUP NUMBER, which initiators set", "90 02 0000000000000005 00000002 03 00", []string{"read 1024 at 2560"}, ""},
		{"(10) the last block", "34 00 000007ff 00 0001 00", []string{"read 512 at 1048064"}, ""},
		{"(10) to the end", "34 00 000007fe 00 0000 00", []string{"read 1024 at 1047552"}, ""},
		{"(10) to the end, from it", "34 00 00000800 00 0000 00", nil, ""},
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
			n, why := must(t, u.Disk, raw(tt.cdb))
			if n != 0 || why != tt.fail || !slices.Equal(u.calls, tt.calls) {
				t.Errorf("sense data %q, want %q; the store did %q, want %q", why, tt.fail, u.calls, tt.calls)
			}
		})
	}
	u := newUnit("read-only", 512)
	u.fails["read"] = unix.EIO
	if _, why := must(t, u.Disk, raw("34 00 00000005 00 0002 00")); why != "3/11/00 info 5" {
		t.Errorf("of blocks that cannot be read: sense data %q", why)
	}
}

// TestPrefetchReadsNoMoreThanItsLimit, whatever is asked for.
func TestPrefetchReadsNoMoreThanItsLimit(t *testing.T) {
	d, v := newVastUnit(1<<40, 512)
	limit := int64(binary.BigEndian.Uint32(ask(t, d, "12 01 b0 00ff 00")[16:])) * 512
	for _, cdb := range []string{"34 00 00000000 00 0000 00", "90 00 0000000000000000 7fffff00 00 00", "90 00 0000000000000000 00000000 00 00"} {
		*v.calls = nil
		must(t, d, raw(cdb))
		sum := int64(0)
		for _, call := range *v.calls {
			var n, off int64
			if _, err := fmt.Sscanf(call, "read %d at %d", &n, &off); err != nil {
				t.Fatalf("%s: the store did %q", cdb, call)
			}
			sum += n
		}
		if sum == 0 || sum > limit {
			t.Errorf("%s: read %d bytes, limit %d", cdb, sum, limit)
		}
	}
}

func TestReadDefectData(t *testing.T) {
	u := newUnit("sparse", 512)
	converse(t, u.Disk, []exchange{
		{name: "(10)", cdb: "37 00 00 00000000 00ff 00", want: "00 00 0000"},
		{name: "(10) PLIST, long block format", cdb: "37 00 13 00000000 00ff 00", want: "00 13 0000"},
		{name: "(10) GLIST, physical sector format", cdb: "37 00 0d 00000000 00ff 00", want: "00 0d 0000"},
		{name: "(10) both", cdb: "37 00 18 00000000 0004 00", want: "00 18 0000"},
		{name: "(10) clipped", cdb: "37 00 18 00000000 0002 00", want: "00 18"},
		{name: "(10) nothing", cdb: "37 00 18 00000000 0000 00"},
		{name: "(10) reserved bit", cdb: "37 00 20 00000000 00ff 00", fail: "5/24/00 cdb 2.5"},
		{name: "(12)", cdb: "b7 00 00000000 000000ff 00 00", want: "00 00 0000 00000000"},
		{name: "(12) both, long block format", cdb: "b7 1b 00000000 000000ff 00 00", want: "00 1b 0000 00000000"},
		{name: "(12) clipped", cdb: "b7 1b 00000000 00000005 00 00", want: "00 1b 0000 00"},
		{name: "(12) allocation length that is negative in 32 bits", cdb: "b7 00 00000000 ffffffff 00 00", want: "00 00 0000 00000000"},
		{name: "(12) nothing", cdb: "b7 1b 00000000 00000000 00 00"},
	})
	if len(u.calls) > 0 {
		t.Errorf("the store did %q", u.calls)
	}
}

func TestLogSense(t *testing.T) {
	const stat = "19 00 005c  0001 03 40 %016x%016x%016x%016x 0000000000000000 0000000000000000 0000000000000000 0000000000000000" +
		"0002 03 08 0000000000000000 0003 03 08 00000000 00000000"
	cases := func(pages, subpages string, thin bool) []exchange {
		all := []exchange{
			{name: "supported pages", cdb: "4d 00 00 00 00 0000 00ff 00", want: pages},
			{name: "supported pages, cumulative", cdb: "4d 00 40 00 00 0000 00ff 00", want: pages},
			{name: "supported pages and subpages", cdb: "4d 00 40 ff 00 0000 00ff 00", want: subpages},
			{name: "clipped", cdb: "4d 00 40 00 00 0000 0003 00", want: pages[:8]},
			{name: "nothing", cdb: "4d 00 40 00 00 0000 0000 00"},
			{name: "statistics of nothing", cdb: "4d 00 59 00 00 0000 00ff 00", want: fmt.Sprintf(stat, 0, 0, 0, 0)},
			{name: "threshold values", cdb: "4d 00 19 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.7"},
			{name: "default cumulative values", cdb: "4d 00 d9 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.7"},
			{name: "unknown page", cdb: "4d 00 4d 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.5"},
			{name: "unknown subpage", cdb: "4d 00 59 01 00 0000 00ff 00", fail: "5/24/00 cdb 3"},
			{name: "all subpages of a page", cdb: "4d 00 59 ff 00 0000 00ff 00", fail: "5/24/00 cdb 3"},
			{name: "PARAMETER POINTER", cdb: "4d 00 59 00 00 0001 00ff 00", fail: "5/24/00 cdb 5"},
			{name: "SP", cdb: "4d 01 59 00 00 0000 00ff 00", fail: "5/24/00 cdb 1.0"},
		}
		provisioning := exchange{name: "provisioning", cdb: "4d 00 4c 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.5"}
		if thin {
			provisioning.fail, provisioning.want = "", "0c 00 000c  0002 03 08 00000800 01 000000"
		}
		return append(all, provisioning)
	}
	for _, ability := range abilities {
		t.Run(ability, func(t *testing.T) {
			d := newUnit(ability, 512).Disk
			if d.has&thin != 0 {
				converse(t, d, cases("00 00 0003 00 0c 19", "40 ff 0008 0000 00ff 0c00 1900", true))
			} else {
				converse(t, d, cases("00 00 0002 00 19", "40 ff 0006 0000 00ff 1900", false))
			}
		})
	}
}

// TestStatisticsLogCounts: blocks received are those that were written, and
// blocks transmitted those that were read, as the standard looks at them from
// the disk.
func TestStatisticsLogCounts(t *testing.T) {
	u := newUnit("sparse", 4096)
	for range 3 {
		must(t, u.Disk, raw("28 00 00000000 00 0002 00"), filled(8192))
	}
	must(t, u.Disk, raw("2a 00 00000000 00 0005 00"), filled(5*4096))
	b := ask(t, u.Disk, "4d 00 59 00 00 0000 00ff 00")
	for i, f := range []struct {
		name string
		want uint64
	}{{"READ COMMANDS", 3}, {"WRITE COMMANDS", 1}, {"LOGICAL BLOCKS RECEIVED", 5}, {"LOGICAL BLOCKS TRANSMITTED", 6}} {
		if got := binary.BigEndian.Uint64(b[8+8*i:]); got != f.want {
			t.Errorf("NUMBER OF %s is %d, want %d", f.name, got, f.want)
		}
	}
}

func TestProvisioningLogCountsMappedBlocks(t *testing.T) {
	d, _ := newHoley(1<<20, 512, 4096, 8192, 16384, 1<<20-100)
	converse(t, d, []exchange{{name: "used", cdb: "4d 00 4c 00 00 0000 00ff 00",
		want: "0c 00 000c  0002 03 08 00000019 01 000000"}}) // 8 + 16, and one of which 100 bytes are
}

func TestDiagnostics(t *testing.T) {
	u := newUnit("read-only", 512)
	converse(t, u.Disk, []exchange{
		{name: "RECEIVE DIAGNOSTIC RESULTS", cdb: "1c 01 00 00ff 00", want: "00 00 0001 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS, of the last SEND DIAGNOSTIC", cdb: "1c 00 00 00ff 00", want: "00 00 0001 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS clipped", cdb: "1c 01 00 0003 00", want: "00 00 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS nothing", cdb: "1c 01 00 0000 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS, unknown page", cdb: "1c 01 40 00ff 00", fail: "5/24/00 cdb 2"},
		{name: "SEND DIAGNOSTIC of nothing", cdb: "1d 00 00 0000 00"},
		{name: "SEND DIAGNOSTIC PF", cdb: "1d 10 00 0000 00"},
		{name: "SEND DIAGNOSTIC of a page", cdb: "1d 10 00 0004 00", out: "00000000", fail: "5/24/00 cdb 3"},
		{name: "SEND DIAGNOSTIC SELF-TEST CODE", cdb: "1d 20 00 0000 00", fail: "5/24/00 cdb 1.5"},
	})
	if len(u.calls) > 0 {
		t.Errorf("the store did %q", u.calls)
	}
	for _, cdb := range []string{"1d 04 00 0000 00", "1d 07 00 0000 00"} {
		u := newUnit("read-only", 512)
		if _, _, _, ok := u.Execute(raw(cdb), nil, false); ok {
			t.Errorf("%s: done without waiting", cdb)
		}
		if _, why := must(t, u.Disk, raw(cdb)); why != "" || len(u.calls) == 0 || !strings.HasPrefix(u.calls[0], "read") {
			t.Errorf("%s: sense data %q; the store did %q", cdb, why, u.calls)
		}
		u.fails["read"] = unix.EIO
		if _, why := must(t, u.Disk, raw(cdb)); why == "" || len(u.reports) != 1 {
			t.Errorf("%s of a disk that is broken: sense data %q, reports %q", cdb, why, u.reports)
		}
	}
}

func TestTargetPortGroups(t *testing.T) {
	const all = "0000000c  00 01 0000 00 00 00 01  0000 0001" // active/optimized, and that alone; one port
	d := newUnit("sparse", 512).Disk
	converse(t, d, []exchange{
		{name: "all", cdb: "a3 0a 00 00 0000 00000100 00 00", want: all},
		{name: "clipped", cdb: "a3 0a 00 00 0000 00000004 00 00", want: "0000000c"},
		{name: "nothing", cdb: "a3 0a 00 00 0000 00000000 00 00"},
		{name: "allocation length that is negative in 32 bits", cdb: "a3 0a 00 00 0000 ffffffff 00 00", want: all},
		{name: "extended header", cdb: "a3 2a 00 00 0000 00000100 00 00", fail: "5/24/00 cdb 1.5"},
	})
	// The group and the port are those that the identification page names.
	groups := ask(t, d, "a3 0a 00 00 0000 00000100 00 00")
	named := map[byte][]byte{}
	for b := ask(t, d, "12 01 83 00ff 00")[4:]; len(b) > 0; b = b[4+b[3]:] {
		named[b[1]&0x3f] = b[4 : 4+b[3]]
	}
	if !bytes.Equal(named[0x14][2:], groups[14:16]) {
		t.Errorf("relative target port % x in the identification page, % x in the group", named[0x14], groups[14:16])
	}
	if !bytes.Equal(named[0x15][2:], groups[6:8]) {
		t.Errorf("target port group % x in the identification page, % x here", named[0x15], groups[6:8])
	}
	if tpgs := ask(t, d, "12 00 00 0060 00")[5] >> 4 & 3; tpgs != 1 {
		t.Errorf("TPGS is %d", tpgs)
	}
}

func TestReportSupportedTaskManagementFunctions(t *testing.T) {
	converse(t, newUnit("sparse", 512).Disk, []exchange{
		{name: "ABORT TASK, LOGICAL UNIT RESET", cdb: "a3 0d 00 00 0000 00000100 00 00", want: "88 00 00 00"},
		{name: "REPD", cdb: "a3 0d 80 00 0000 00000100 00 00", want: "88 00 00 0c 00000000 00000000 00000000"},
		{name: "clipped", cdb: "a3 0d 80 00 0000 00000005 00 00", want: "88 00 00 0c 00"},
		{name: "nothing", cdb: "a3 0d 00 00 0000 00000000 00 00"},
	})
}
