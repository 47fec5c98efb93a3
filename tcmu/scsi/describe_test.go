package scsi

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	extents := func(n int) string {
		var ranges []int
		for i := range n {
			ranges = append(ranges, 4096*i, 8+i)
		}
		return string(unmapList(ranges...))
	}
	for _, tt := range []struct {
		cdb, out   string
		name, what string
	}{
		{"00 00 00 00 00 00", "", "TEST UNIT READY", ""},
		{"03 01 00 00 fc 00", "", "REQUEST SENSE", "allocation 252 desc"},
		{"08 12 3456 08 00", "", "READ(6)", "lba 1193046 blocks 8"},
		{"0a 00 0000 00 00", "", "WRITE(6)", "lba 0 blocks 256"},
		{"12 00 00 0024 00", "", "INQUIRY", "allocation 36 standard"},
		{"12 01 83 00ff 00", "", "INQUIRY", "page 83h allocation 255 (device identification)"},
		{"12 01 c0 00ff 00", "", "INQUIRY", "page c0h allocation 255"},
		{"12 00 83 00ff 00", "", "INQUIRY", "page 83h allocation 255 without evpd"},
		{"15 10 00 00 18 00", "\x17\x00\x10\x00\x08\x12\x04" + strings.Repeat("\x00", 17), "MODE SELECT(6)", "page 08h/00h length 24 pf (caching)"},
		{"55 10 00 00 00 00 00 0014 00", "\x00\x00\x00\x00\x00\x00\x00\x00\x0a\x0a" + strings.Repeat("\x00", 10), "MODE SELECT(10)", "page 0ah/00h length 20 pf (control)"},
		{"55 10 00 00 00 00 00 ffff 00", "\x00\x00\x00\x00\x00\x00\x00", "MODE SELECT(10)", "length 65535 pf"},
		{"1a 08 08 00 c0 00", "", "MODE SENSE(6)", "page 08h/00h allocation 192 dbd current (caching)"},
		{"1a 00 7f ff ff 00", "", "MODE SENSE(6)", "page 3fh/ffh allocation 255 changeable (all pages)"},
		{"5a 10 9c 00 000000 0100 00", "", "MODE SENSE(10)", "page 1ch/00h allocation 256 llbaa default"},
		{"1b 00 00 00 01 00", "", "START STOP UNIT", "start"},
		{"1b 01 00 00 00 00", "", "START STOP UNIT", "immed stop"},
		{"1b 00 00 00 02 00", "", "START STOP UNIT", "eject"},
		{"1b 00 00 00 07 00", "", "START STOP UNIT", "no_flush load"},
		{"1b 00 00 02 30 00", "", "START STOP UNIT", "modifier 2 power 3 stop"},
		{"1d 04 00 0000 00", "", "SEND DIAGNOSTIC", "length 0 selftest"},
		{"1e 00 00 00 01 00", "", "PREVENT ALLOW MEDIUM REMOVAL", "prevent"},
		{"1e 00 00 00 00 00", "", "PREVENT ALLOW MEDIUM REMOVAL", "allow"},
		{"25 00 00000000 00 00 00 00", "", "READ CAPACITY(10)", ""},
		{"28 00 00000800 00 0008 00", "", "READ(10)", "lba 2048 blocks 8"},
		{"2a 08 00000800 00 0008 00", "", "WRITE(10)", "lba 2048 blocks 8 fua"},
		{"88 18 0000000100000000 00000400 00 00", "", "READ(16)", "lba 4294967296 blocks 1024 dpo fua"},
		{"aa 00 ffffffff ffffffff 00 00", "", "WRITE(12)", "lba 4294967295 blocks 4294967295"},
		{"2f 06 00000010 00 0001 00", "", "VERIFY(10)", "lba 16 blocks 1 bytchk 3"},
		{"8e 02 0000000000000010 00000001 00 00", "", "WRITE AND VERIFY(16)", "lba 16 blocks 1 bytchk 1"},
		{"89 08 0000000000000010 000000 01 00 00", "", "COMPARE AND WRITE", "lba 16 blocks 1 fua"},
		{"34 02 00000010 05 0000 00", "", "PRE-FETCH(10)", "lba 16 to the end immed group 5"},
		{"35 00 00000000 00 0000 00", "", "SYNCHRONIZE CACHE(10)", "all"},
		{"91 02 0000000000000010 00000008 00 00", "", "SYNCHRONIZE CACHE(16)", "lba 16 blocks 8 immed"},
		{"41 00 00000010 00 0008 00", "", "WRITE SAME(10)", "lba 16 blocks 8"},
		{"93 09 0000000000000010 00000000 00 00", "", "WRITE SAME(16)", "lba 16 to the end unmap ndob"},
		{"42 00 00000000 00 0018 00", extents(1), "UNMAP", "lba 0+8"},
		{"42 00 00000000 00 0028 00", extents(2), "UNMAP", "lba 0+8, 4096+9"},
		{"42 00 00000000 00 0078 00", extents(7), "UNMAP", "lba 0+8, 4096+9, 8192+10, 12288+11 and 3 more"},
		{"42 00 00000000 00 0018 00", extents(7), "UNMAP", "lba 0+8"},
		{"42 00 00000000 00 0078 00", extents(2)[:30], "UNMAP", "lba 0+8"},
		{"42 00 00000000 00 0008 00", extents(0), "UNMAP", "nothing"},
		{"42 00 00000000 00 0000 00", "", "UNMAP", "length 0"},
		{"48 81 0000000000 0006 00", "\x82\x00\x00\x02\x55\xaa", "SANITIZE, OVERWRITE", "passes 2 pattern length 2 immed invert"},
		{"48 22 0000000000 0000 00", "", "SANITIZE, BLOCK ERASE", "ause"},
		{"48 1f 0000000000 0000 00", "", "SANITIZE, EXIT FAILURE MODE", ""},
		{"4d 00 59 00 00 0000 1000 00", "", "LOG SENSE", "page 19h/00h allocation 4096 cumulative (general statistics and performance)"},
		{"4d 00 40 ff 00 0003 0004 00", "", "LOG SENSE", "page 00h/ffh allocation 4 cumulative (supported log pages) pointer 3"},
		{"4d 00 2f 00 00 0000 0004 00", "", "LOG SENSE", "page 2fh/00h allocation 4 threshold"},
		{"37 00 1d 00000000 0008 00", "", "READ DEFECT DATA(10)", "allocation 8 plist glist format 5"},
		{"9e 10 0000000000000000 00000020 00 00", "", "READ CAPACITY(16)", "allocation 32"},
		{"9e 12 0000000000000010 00000018 00 00", "", "GET LBA STATUS", "lba 16 allocation 24"},
		{"a3 0c 80 00 0000 00001000 00 00", "", "REPORT SUPPORTED OPERATION CODES", "all allocation 4096 rctd"},
		{"a3 0c 01 28 0000 00001000 00 00", "", "REPORT SUPPORTED OPERATION CODES", "opcode 28h allocation 4096 (READ(10))"},
		{"a3 0c 02 9e 0010 00001000 00 00", "", "REPORT SUPPORTED OPERATION CODES", "opcode 9eh/10h allocation 4096 (READ CAPACITY(16))"},
		{"a3 0c 01 a1 0000 00001000 00 00", "", "REPORT SUPPORTED OPERATION CODES", "opcode a1h allocation 4096"},
		{"a3 0c 07 28 0000 00001000 00 00", "", "REPORT SUPPORTED OPERATION CODES", "options 7 allocation 4096"},

		// Padding after the command, as on the ring.
		{"1a 08 08 00 c0 00 5555", "", "MODE SENSE(6)", "page 08h/00h allocation 192 dbd current (caching)"},

		{"", "", "no command", ""},
		{"7f", "", "opcode 7fh", "7f"},
		{"7f 00 00 00 00 00 00 18 0009 20 00", "", "opcode 7fh/0009h", "7f 00 00 00 00 00 00 18 00 09 20 00"},
		{"a1 08 0e 00 0000 00000000 ec 00 5555 5555", "", "opcode a1h", "a1 08 0e 00 00 00 00 00 00 00 ec 00"},
		{"9e 1f 0000000000000000 00000020 00 00", "", "opcode 9eh/1fh", "9e 1f 00 00 00 00 00 00 00 00 00 00 00 20 00 00"},
		{"28 00 00", "", "READ(10)", "28 00 00"},
	} {
		u := newUnit("removable", 512)
		name, what := u.Describe(unhex(tt.cdb), split([]byte(tt.out), 5, 3))
		if name != tt.name || what != tt.what {
			t.Errorf("%s:\n got %s %q\nwant %s %q", tt.cdb, name, what, tt.name, tt.what)
		}
	}
}

func TestUnsupportedCommandIsDescribedByName(t *testing.T) {
	u := newUnit("writable", 512)
	if name, what := u.Describe(unhex("42 00 00000000 00 0018 00"), nil); name != "UNMAP" || what != "42 00 00 00 00 00 00 00 18 00" {
		t.Errorf("%s %q", name, what)
	}
}

// Every bit that may be set changes the description.
func TestEveryFieldIsDescribed(t *testing.T) {
	u := newUnit("removable", 512)
	for _, row := range u.rows {
		cdb := row.emptyCDB()
		if row.name == "REPORT SUPPORTED OPERATION CODES" {
			cdb[2] = 1 // one command
		}
		_, plain := u.Describe(cdb, nil)
		for i := 8; i < 8*len(cdb); i++ {
			bit := byte(0x80) >> (i % 8)
			if row.usage[i/8]&bit == 0 || i/8 == 1 && row.sa != none && bit < 0x20 {
				continue
			}
			cdb[i/8] ^= bit
			if name, what := u.Describe(cdb, nil); name != row.name || what == plain {
				t.Errorf("%x: %s %q, as without bit %d of byte %d", cdb, name, what, 7-i%8, i/8)
			}
			cdb[i/8] ^= bit
		}
	}
}

func FuzzDescribe(f *testing.F) {
	u := newUnit("removable", 512)
	f.Cleanup(u.Disk.Close)
	for _, row := range u.rows {
		f.Add(row.usage, []byte("some data-out"), byte(3))
	}
	f.Add(unmapCDB(40), unmapList(1, 2, 3, 4), byte(7))
	f.Add(unhex("15 10 00 00 18 00"), []byte("\x17\x00\x10\x00\x08\x12\x04"), byte(100))
	f.Fuzz(func(t *testing.T, cdb, out []byte, piece byte) {
		data := split(out, int(piece)+1)
		before, pieces := slices.Concat(cdb, out), len(data)
		name, what := u.Describe(cdb, data)
		if name == "" || strings.ContainsAny(name+what, "\n\t\x00") || strings.TrimSpace(what) != what {
			t.Errorf("%x: %q %q", cdb, name, what)
		}
		if !bytes.Equal(before, slices.Concat(cdb, out)) || len(data) != pieces {
			t.Errorf("%x: Describe changed its arguments", cdb)
		}
		u.Execute(cdb, data, true)
		u.Describe(cdb, data) // with buffers that Execute may have shortened
	})
}
