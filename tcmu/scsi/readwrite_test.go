package scsi

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A form is one of the CDB lengths of READ and WRITE.
type form struct {
	name        string
	read, write string // CDBs with %x for LBA and TRANSFER LENGTH
	flags       bool   // byte 1 has DPO and FUA, and no part of the LBA
}

var forms = []form{
	{"(6)", "08%06x%02x00", "0a%06x%02x00", false},
	{"(10)", "2800%08x00%04x00", "2a00%08x00%04x00", true},
	{"(12)", "a800%08x%08x0000", "aa00%08x%08x0000", true},
	{"(16)", "8800%016x%08x0000", "8a00%016x%08x0000", true},
}

func (f form) cdb(how string, lba, blocks int) []byte { return unhex(fmt.Sprintf(how, lba, blocks)) }

// shapes are sizes of the pieces to split buffers into, not aligned to blocks.
var shapes = [][]int{{1 << 30}, {512}, {1, 511}, {7, 1000, 3}, {4095, 1}, {100}}

func TestReadReturnsItsBlocks(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		for _, f := range forms {
			for _, at := range []struct{ lba, n int }{{0, 1}, {1, 1}, {5, 7}, {(1<<20)/blockSize - 3, 3}} {
				for _, shape := range shapes {
					u := newUnit("thin", blockSize)
					cdb := f.cdb(f.read, at.lba, at.n)
					buf := stale(at.n*blockSize + 1000)
					n, why := execute(t, u.Disk, cdb, split(buf, shape...)...)
					want := u.bytes[at.lba*blockSize:][:at.n*blockSize]
					if why != "" || !bytes.Equal(buf[:n], want) {
						t.Errorf("READ%s %x in pieces of %d: sense data %q, %d bytes, want %d",
							f.name, cdb, shape, why, n, len(want))
					}
					if !bytes.Equal(buf[len(want):], stale(1000)) {
						t.Errorf("READ%s %x: more than the transfer was written to the buffers", f.name, cdb)
					}
				}
			}
		}
	}
}

func TestWriteChangesItsBlocksOnly(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		for _, f := range forms {
			for _, at := range []struct{ lba, n int }{{0, 1}, {1, 1}, {5, 7}, {(1<<20)/blockSize - 3, 3}} {
				for _, shape := range shapes {
					u := newUnit("writable", blockSize)
					cdb := f.cdb(f.write, at.lba, at.n)
					// More than the transfer, as fabrics may bring it.
					buf := bytes.Repeat([]byte("lunserve "), at.n*blockSize)[:at.n*blockSize+1000]
					sent := slices.Clone(buf)
					want := slices.Clone(u.bytes)
					copy(want[at.lba*blockSize:], buf[:at.n*blockSize])
					n, why := execute(t, u.Disk, cdb, split(buf, shape...)...)
					if why != "" || n != 0 || !bytes.Equal(u.bytes, want) {
						t.Errorf("WRITE%s %x in pieces of %d: sense data %q, %d bytes of data-in", f.name, cdb, shape, why, n)
					}
					if !bytes.Equal(buf, sent) {
						t.Errorf("WRITE%s %x has changed the data-out", f.name, cdb)
					}
				}
			}
		}
	}
}

func TestZeroTransferLength(t *testing.T) {
	u := newUnit("thin", 512)
	before := slices.Clone(u.bytes)
	for _, f := range forms[1:] {
		for _, lba := range []int{0, 5, 2048} {
			for _, how := range []string{f.read, f.write} {
				cdb := f.cdb(how, lba, 0)
				if n, why := execute(t, u.Disk, cdb, stale(512)); n != 0 || why != "" {
					t.Errorf("%x: sense data %q, %d bytes; want success", cdb, why, n)
				}
				if n, why := execute(t, u.Disk, cdb); n != 0 || why != "" {
					t.Errorf("%x without buffers: sense data %q, %d bytes", cdb, why, n)
				}
			}
		}
		for _, how := range []string{f.read, f.write} {
			cdb := f.cdb(how, 2049, 0)
			if _, why := execute(t, u.Disk, cdb); why != "5/21/00 info 2049" {
				t.Errorf("%x: sense data %q", cdb, why)
			}
		}
	}
	if len(u.calls) > 0 || !bytes.Equal(before, u.bytes) {
		t.Errorf("store calls %q", u.calls)
	}
	// In six-byte commands zero means 256.
	buf := stale(256 * 512)
	if n, why := execute(t, u.Disk, unhex("08 00 0001 00 00"), buf); why != "" || n != len(buf) || !bytes.Equal(buf, before[512:][:len(buf)]) {
		t.Errorf("READ(6) of 256 blocks: sense data %q, %d bytes", why, n)
	}
	if _, why := execute(t, u.Disk, unhex("0a 00 0001 00 00"), stale(256*512)); why != "" {
		t.Errorf("WRITE(6) of 256 blocks: sense data %q", why)
	}
	copy(before[512:], stale(256*512))
	if !bytes.Equal(u.bytes, before) {
		t.Error("WRITE(6) of 256 blocks: wrong image contents")
	}
}

func TestBlocksPastTheEndFail(t *testing.T) {
	u := newUnit("thin", 512)
	before := slices.Clone(u.bytes)
	for _, x := range []exchange{
		{cdb: "08 00 0800 01 00", fail: "info 2048"},
		{cdb: "08 00 07ff 02 00", fail: "info 2047"},
		{cdb: "08 00 0701 00 00", fail: "info 1793"},
		{cdb: "08 1f ffff ff 00", fail: "info 2097151"},
		{cdb: "28 00 00000800 00 0001 00", fail: "info 2048"},
		{cdb: "28 00 000007ff 00 0002 00", fail: "info 2047"},
		{cdb: "28 00 80000000 00 0001 00", fail: "info 2147483648"},
		{cdb: "28 00 ffffffff 00 0001 00", fail: "info 4294967295"},
		{cdb: "28 00 ffffffff 00 ffff 00", fail: "info 4294967295"},
		{cdb: "28 00 00000000 00 0801 00", fail: "info 0"},
		{cdb: "a8 00 00000000 ffffffff 00 00", fail: "info 0"},
		{cdb: "a8 00 ffffffff ffffffff 00 00", fail: "info 4294967295"},
		{cdb: "88 00 0000000000000800 00000001 00 00", fail: "info 2048"},
		{cdb: "88 00 0000000000000001 ffffffff 00 00", fail: "info 1"},
		{cdb: "88 00 ffffffffffffffff 00000001 00 00"}, // LBA + length wraps
		{cdb: "88 00 ffffffffffffffff ffffffff 00 00"},
		{cdb: "88 00 8000000000000000 00000001 00 00"},
		{cdb: "88 00 0080000000000000 00000001 00 00"}, // LBA × 512 wraps
		{cdb: "88 00 0080000000000000 00000000 00 00"},
	} {
		for read, others := range map[byte][]byte{0x08: {0x0a}, 0x28: {0x2a, 0x2e, 0x2f, 0x34, 0x35, 0x41}, 0xa8: {0xaa, 0xae, 0xaf}, 0x88: {0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93}} {
			cdb := unhex(x.cdb)
			if cdb[0] != read {
				continue
			}
			want := strings.TrimSpace("5/21/00 " + x.fail)
			for _, op := range append([]byte{read}, others...) {
				cdb[0] = op
				if _, why := execute(t, u.Disk, cdb, stale(512)); why != want {
					t.Errorf("%x: sense data %q, want %q", cdb, why, want)
				}
			}
		}
	}
	if len(u.calls) > 0 || !bytes.Equal(before, u.bytes) {
		t.Errorf("store calls %q", u.calls)
	}
}

func TestFUAIsDurable(t *testing.T) {
	for _, f := range forms {
		for _, flag := range []struct {
			name        string
			bits        byte
			read, write []string
		}{
			{"", 0x00, []string{"read 512 at 512"}, []string{"write 512 at 512"}},
			{"DPO", 0x10, []string{"read 512 at 512"}, []string{"write 512 at 512"}},
			{"FUA", 0x08, []string{"flush 0 at 0", "read 512 at 512"}, []string{"write 512 at 512 durable"}},
			{"DPO FUA", 0x18, []string{"flush 0 at 0", "read 512 at 512"}, []string{"write 512 at 512 durable"}},
		} {
			if flag.bits != 0 && !f.flags {
				continue
			}
			for how, want := range map[string][]string{f.read: flag.read, f.write: flag.write} {
				u := newUnit("writable", 512)
				cdb := f.cdb(how, 1, 1)
				cdb[1] |= flag.bits
				if _, why := execute(t, u.Disk, cdb, stale(512)); why != "" || !slices.Equal(u.calls, want) {
					t.Errorf("%x %s: sense data %q, store calls %q, want %q", cdb, flag.name, why, u.calls, want)
				}
			}
		}
	}
}

// The bits of DPO and FUA are a part of the LBA.
func TestSixByteCommandsHaveNoFUA(t *testing.T) {
	for cdb, want := range map[string]string{"08 18 0000 01 00": "read 512 at 805306368", "0a 18 0000 01 00": "write 512 at 805306368"} {
		d, v := newHugeDisk(1<<40, 512)
		if _, why := execute(t, d, unhex(cdb), stale(512)); why != "" || !slices.Equal(*v.calls, []string{want}) {
			t.Errorf("%s: sense data %q, store calls %q, want %q", cdb, why, *v.calls, want)
		}
	}
}

func TestProtectionInformationIsRefused(t *testing.T) {
	u := newUnit("thin", 512)
	for _, cdb := range []string{
		"28 00 00000000 00 0001 00", "a8 00 00000000 00000001 00 00", "88 00 0000000000000000 00000001 00 00", // RDPROTECT
		"2a 00 00000000 00 0001 00", "aa 00 00000000 00000001 00 00", "8a 00 0000000000000000 00000001 00 00", // WRPROTECT
		"41 00 00000000 00 0001 00", "93 00 0000000000000000 00000001 00 00",
		"2f 00 00000000 00 0001 00", "af 00 00000000 00000001 00 00", "8f 00 0000000000000000 00000001 00 00", // VRPROTECT
		"2e 00 00000000 00 0001 00", "ae 00 00000000 00000001 00 00", "8e 00 0000000000000000 00000001 00 00", "89 00 0000000000000000 000000 01 00 00",
		"8b 00 0000000000000000 00000001 00 00", // ORPROTECT
	} {
		for protect := byte(1); protect < 8; protect++ {
			b := unhex(cdb)
			b[1] |= protect << 5
			want := fmt.Sprintf("5/24/00 cdb 1.%d", 5+map[byte]int{1: 0, 2: 1, 3: 1}[min(protect, 4)]+map[bool]int{true: 2}[protect >= 4])
			if _, why := execute(t, u.Disk, b, stale(512)); why != want {
				t.Errorf("%x: sense data %q, want %q", b, why, want)
			}
		}
	}
	if len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
}

// The limit is that of the Block Limits VPD page.
func TestMaximumTransferLength(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		d, v := newHugeDisk(1<<40, blockSize)
		limit := limits(t, d).transfer
		buf := stale(limit * blockSize)
		for _, f := range forms[2:] {
			for _, how := range []string{f.read, f.write} {
				cdb := f.cdb(how, 0, limit)
				n, why := execute(t, d, cdb, buf)
				if why != "" || how == f.read && n != len(buf) {
					t.Errorf("%x, at the limit: sense data %q, %d bytes", cdb, why, n)
				}
				*v.calls = nil
				cdb = f.cdb(how, 0, limit+1)
				if _, why := execute(t, d, cdb, buf); !strings.HasPrefix(why, "5/24/00") || len(*v.calls) > 0 {
					t.Errorf("%x, a block too many: sense data %q, store calls %q", cdb, why, *v.calls)
				}
			}
		}
	}
}

// A fabric may transfer fewer bytes than the CDB asks for.
func TestShortDataOutWritesNothing(t *testing.T) {
	u := newUnit("thin", 512)
	before := slices.Clone(u.bytes)
	for _, f := range forms {
		for _, room := range []int{0, 1, 511, 512, 1023} {
			cdb := f.cdb(f.write, 0, 2)
			if _, why := execute(t, u.Disk, cdb, split(stale(room), 100)...); !strings.HasPrefix(why, "5/") {
				t.Errorf("%x with %d bytes: sense data %q, want ILLEGAL REQUEST", cdb, room, why)
			}
		}
	}
	if len(u.calls) > 0 || !bytes.Equal(u.bytes, before) {
		t.Errorf("store calls %q", u.calls)
	}
}

// The fabric reports the underflow.
func TestReadIntoShortBuffersReturnsWhatFits(t *testing.T) {
	u := newUnit("thin", 512)
	for _, f := range forms {
		for _, room := range []int{0, 1, 200, 511, 512, 1023} {
			cdb, buf := f.cdb(f.read, 3, 2), stale(room)
			n, why := execute(t, u.Disk, cdb, split(buf, 100)...)
			if why != "" || n != room || !bytes.Equal(buf, u.bytes[3*512:][:room]) {
				t.Errorf("%x with %d bytes: sense data %q, %d bytes", cdb, room, why, n)
			}
		}
	}
}

func TestSynchronizeCache(t *testing.T) {
	u := newUnit("writable", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "(10) all", cdb: "35 00 00000000 00 0000 00"},
		{name: "(10) from the last block", cdb: "35 00 000007ff 00 0001 00"},
		{name: "(10) no blocks at the end", cdb: "35 00 00000800 00 0000 00"},
		{name: "(10) IMMED", cdb: "35 02 00000000 00 0000 00"},
		{name: "(16) all", cdb: "91 00 0000000000000000 00000000 00 00"},
		{name: "(16) IMMED", cdb: "91 02 0000000000000000 00000000 00 00"},
	})
	if want := slices.Repeat([]string{"flush 0 at 0"}, 6); !slices.Equal(u.calls, want) {
		t.Errorf("store calls %q, want %q", u.calls, want)
	}
	u = newUnit("writable", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "(10) past the end", cdb: "35 00 000007ff 00 0002 00", fail: "5/21/00 info 2047"},
		{name: "(16) past the end", cdb: "91 00 0000000000000801 00000000 00 00", fail: "5/21/00 info 2049"},
	})
	if len(u.calls) > 0 {
		t.Errorf("store calls of failed commands: %q", u.calls)
	}
}

func TestMinimalStoreWorks(t *testing.T) {
	m := &writableStore{memStore{bytes: randomBytes(1 << 20), fails: map[string]error{}}}
	d := NewDisk(minimalStore{m}, Options{BlockSize: 512})
	buf := stale(1024)
	for _, cdb := range []string{"2a 00 00000000 00 0002 00", "2a 08 00000000 00 0002 00", "28 08 00000000 00 0002 00"} {
		if _, err := d.Execute(unhex(cdb), [][]byte{buf}, false); err == nil {
			t.Errorf("%s: completed without waiting, though the store does not support that", cdb)
		}
		if _, why := execute(t, d, unhex(cdb), split(buf, 100)...); why != "" {
			t.Errorf("%s: sense data %q", cdb, why)
		}
	}
	if !bytes.Equal(m.bytes[:1024], stale(1024)) || !bytes.Equal(buf, stale(1024)) {
		t.Error("the data read is not the data written")
	}
}
