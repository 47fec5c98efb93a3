package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// dataIn executes a command and returns its data-in.
func dataIn(t *testing.T, d *Disk, cdb string) []byte {
	t.Helper()
	buf := stale(4096)
	n, why := execute(t, d, unhex(cdb), buf)
	if why != "" {
		t.Fatalf("CDB %s: sense data %s", cdb, why)
	}
	return buf[:n]
}

func TestStandardInquiry(t *testing.T) {
	for _, variant := range variants {
		b := dataIn(t, newUnit(variant, 512).Disk, "12 00 00 0100 00")
		rmb := byte(0)
		if variant == "removable" {
			rmb = 1
		}
		if len(b) != 96 || int(b[4]) != len(b)-5 {
			t.Fatalf("%s: %d bytes, ADDITIONAL LENGTH %d", variant, len(b), b[4])
		}
		for _, f := range []struct {
			name string
			got  any
			want any
		}{
			{"PERIPHERAL QUALIFIER", b[0] >> 5, byte(0)},
			{"PERIPHERAL DEVICE TYPE", b[0] & 0x1f, byte(0)}, // direct access block device
			{"RMB", b[1] >> 7, rmb},
			{"LU_CONG and reserved bits", b[1] & 0x7f, byte(0)},
			{"NORMACA", b[3] >> 5 & 1, byte(0)},
			{"HISUP", b[3] >> 4 & 1, byte(1)},
			{"RESPONSE DATA FORMAT", b[3] & 0x0f, byte(2)},
			{"AERC and TRMTSK, obsolete", b[3] >> 6, byte(0)},
			{"SCCS, TPGS, 3PC, PROTECT", b[5], byte(0x10)}, // TPGS: implicit
			{"ENCSERV, MULTIP", b[6], byte(0)},
			{"CMDQUE", b[7], byte(0x02)},
			{"T10 VENDOR IDENTIFICATION", string(b[8:16]), "LUNSERVE"},
			{"PRODUCT IDENTIFICATION", string(b[16:32]), "DISK IMAGE      "},
			{"PRODUCT REVISION LEVEL", string(b[32:36]), "1   "},
			{"vendor specific", string(b[36:56]), strings.Repeat("\x00", 20)},
			{"CLOCKING, QAS, IUS", b[56], byte(0)},
			{"reserved", b[57], byte(0)},
			{"VERSION DESCRIPTOR 4 and up", string(b[64:74]), strings.Repeat("\x00", 10)},
			{"reserved", string(b[74:]), strings.Repeat("\x00", 22)},
		} {
			if f.got != f.want {
				t.Errorf("%s: %s is %q, want %q", variant, f.name, f.got, f.want)
			}
		}
		// VERSION and the version descriptors agree.
		standards := map[byte]string{
			0x06: "00a0 0460 04c0", // SAM-5, SPC-4, SBC-3
			0x07: "00c0 05c0 0600", // SAM-6, SPC-5, SBC-4
		}
		if got := b[58:64]; standards[b[2]] == "" || !bytes.Equal(got, unhex(standards[b[2]])) {
			t.Errorf("%s: VERSION %02x with version descriptors %x", variant, b[2], got)
		}
	}
}

func TestInquiryFields(t *testing.T) {
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "allocation length 0", cdb: "12 00 00 0000 00"},
		{name: "the first five bytes have the length", cdb: "12 00 00 0005 00", room: 5, want: "00 00 06 12 5b"},
		{name: "page without EVPD", cdb: "12 00 80 00ff 00", fail: "5/24/00 cdb 2"},
		{name: "page 01 without EVPD", cdb: "12 00 01 0100 00", fail: "5/24/00 cdb 2"},
		{name: "unknown page", cdb: "12 01 c0 00ff 00", fail: "5/24/00 cdb 2"},
		{name: "unknown page, no allocation length", cdb: "12 01 ff 0000 00", fail: "5/24/00 cdb 2"},
		{name: "CMDDT", cdb: "12 02 00 00ff 00", fail: "5/24/00 cdb 1.1"},
		{name: "page truncated", cdb: "12 01 00 0003 00", want: "00 00 00"},
		{name: "page of no bytes", cdb: "12 01 00 0000 00"},
	})
}

func TestVPDPages(t *testing.T) {
	const (
		serial = "00 80 0010 30313233343536373839616263646566"
		name83 = "00 83 0064" +
			"01 03 00 08 5001405012345678" + // binary, of the unit, NAA
			"02 01 00 28 4c554e5345525645 4449534b20494d414745202020202020 30313233343536373839616263646566" + // ASCII, T10 vendor ID
			"03 08 00 18 6e61612e353030313430353031323334353637380000 0000" + // UTF-8, SCSI name string, NUL and up to a multiple of four
			"01 14 00 04 0000 0001" + // binary, of the port, relative target port
			"01 15 00 04 0000 0000" // binary, of the port, target port group
		page86 = "00 86 003c 00 01 %02x"   // SIMPSUP; V_SUP
		b1     = "00 b1 003c 0001 00 %02x" // non-rotating; WABEREQ
	)
	pad := func(s string, n int) string { return s + fmt.Sprintf("%0*x", 2*(n-len(unhex(s))), 0) }
	for _, tt := range []struct {
		variant string
		pages   string
		extra   []exchange
	}{
		{"thin", "00 00 0007 00 80 83 86 b0 b1 b2", []exchange{
			// LBPU, LBPWS, LBPWS10, LBPRZ 001b; thin provisioned
			{name: "B1, WABEREQ", cdb: "12 01 b1 00ff 00", want: pad(fmt.Sprintf(b1, 0x40), 64)},
			{name: "B2", cdb: "12 01 b2 00ff 00", want: "00 b2 0004 00 e4 02 00"},
			{name: "86", cdb: "12 01 86 00ff 00", want: pad(fmt.Sprintf(page86, 1), 64)}}},
		{"writable", "00 00 0006 00 80 83 86 b0 b1", []exchange{
			{name: "86", cdb: "12 01 86 00ff 00", want: pad(fmt.Sprintf(page86, 1), 64)},
			{name: "B1 without WABEREQ", cdb: "12 01 b1 00ff 00", want: pad(fmt.Sprintf(b1, 0), 64)},
			{name: "no B2", cdb: "12 01 b2 00ff 00", fail: "5/24/00 cdb 2"}}},
		{"read-only", "00 00 0006 00 80 83 86 b0 b1", []exchange{
			{name: "86", cdb: "12 01 86 00ff 00", want: pad(fmt.Sprintf(page86, 0), 64)},
			{name: "B1 without WABEREQ", cdb: "12 01 b1 00ff 00", want: pad(fmt.Sprintf(b1, 0), 64)},
			{name: "no B2", cdb: "12 01 b2 00ff 00", fail: "5/24/00 cdb 2"}}},
	} {
		t.Run(tt.variant, func(t *testing.T) {
			testExchanges(t, newUnit(tt.variant, 512).Disk, append(tt.extra, []exchange{
				{name: "00", cdb: "12 01 00 00ff 00", want: tt.pages},
				{name: "80", cdb: "12 01 80 00ff 00", want: serial},
				{name: "83", cdb: "12 01 83 00ff 00", want: name83},
				{name: "83 truncated", cdb: "12 01 83 0010 00", want: "00 83 0064 01 03 00 08 5001405012345678"},
			}...))
		})
	}
}

func TestSupportedVPDPagesAreListedInAscendingOrder(t *testing.T) {
	for _, variant := range variants {
		d := newUnit(variant, 4096).Disk
		listed := map[byte]bool{}
		last := -1
		for _, code := range dataIn(t, d, "12 01 00 ffff 00")[4:] {
			if int(code) <= last {
				t.Errorf("%s: page %02x after page %02x", variant, code, last)
			}
			last = int(code)
			listed[code] = true
		}
		for code := range 256 {
			cdb := unhex(fmt.Sprintf("12 01 %02x 1000 00", code))
			buf := stale(4096)
			n, why := execute(t, d, cdb, buf)
			if !listed[byte(code)] {
				if why != "5/24/00 cdb 2" {
					t.Errorf("%s: page %02x is not listed, but sense data %q", variant, code, why)
				}
				continue
			}
			if why != "" || n < 4 || buf[0] != 0 || int(buf[1]) != code || int(binary.BigEndian.Uint16(buf[2:])) != n-4 {
				t.Errorf("%s: page %02x: sense data %q, % x", variant, code, why, buf[:n])
			}
		}
	}
}

// The tests of the commands check that they keep to these limits. Limits of
// commands that the disk does not support are zero.
func TestBlockLimits(t *testing.T) {
	for _, blockSize := range []uint32{512, 4096} {
		for _, variant := range variants {
			t.Run(fmt.Sprint(variant, " ", blockSize), func(t *testing.T) {
				b := dataIn(t, newUnit(variant, int(blockSize)).Disk, "12 01 b0 00ff 00")
				if len(b) != 64 {
					t.Fatalf("page of %d bytes, want 64", len(b))
				}
				u16, u32 := binary.BigEndian.Uint16, binary.BigEndian.Uint32
				thin, writes := variant == "thin" || variant == "removable", variant != "read-only"
				when := func(is bool, n uint32) uint32 {
					if is {
						return n
					}
					return 0
				}
				for _, f := range []struct {
					name      string
					got, want uint32
				}{
					{"WSNZ", uint32(b[4]), 1},
					{"MAXIMUM COMPARE AND WRITE LENGTH", uint32(b[5]), when(writes, 255)},
					{"OPTIMAL TRANSFER LENGTH GRANULARITY", uint32(u16(b[6:])), 4096 / blockSize},
					{"MAXIMUM TRANSFER LENGTH", u32(b[8:]), 32 << 20 / blockSize},
					{"OPTIMAL TRANSFER LENGTH", u32(b[12:]), 1 << 20 / blockSize},
					{"MAXIMUM PREFETCH LENGTH", u32(b[16:]), 32 << 20 / blockSize},
					{"OPTIMAL UNMAP GRANULARITY", u32(b[28:]), when(thin, 4096/blockSize)},
					{"UNMAP GRANULARITY ALIGNMENT", u32(b[32:]), when(thin, 1<<31)},
					{"MAXIMUM WRITE SAME LENGTH", u32(b[36:]), 0},
					{"MAXIMUM WRITE SAME LENGTH, low half", u32(b[40:]), when(writes, 1<<30/blockSize)},
					{"MAXIMUM ATOMIC TRANSFER LENGTH", u32(b[44:]), 0},
				} {
					if f.got != f.want {
						t.Errorf("%s is %d, want %d", f.name, f.got, f.want)
					}
				}
				unmap, descriptors := u32(b[20:]), u32(b[24:])
				if (unmap > 0) != thin || (descriptors > 0) != thin {
					t.Errorf("MAXIMUM UNMAP LBA COUNT is %d, …BLOCK DESCRIPTOR COUNT %d", unmap, descriptors)
				}
				if len(bytes.Trim(b[48:], "\x00")) > 0 {
					t.Errorf("atomic writes: % x", b[48:])
				}
			})
		}
	}
}
