package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// A listedCommand is a command as REPORT SUPPORTED OPERATION CODES reports it.
type listedCommand struct {
	op    byte
	sa    int
	usage []byte
}

// listAll parses the data-in with REPORTING OPTIONS 000b.
func listAll(t *testing.T, d *Disk, timeouts bool) (list []listedCommand, sizes []int) {
	t.Helper()
	cdb, step := "a3 0c 00 00 0000 00010000 00 00", 8
	if timeouts {
		cdb, step = "a3 0c 80 00 0000 00010000 00 00", 20
	}
	buf := stale(1 << 16)
	n, why := execute(t, d, unhex(cdb), buf)
	if why != "" || n < 4 || int(binary.BigEndian.Uint32(buf)) != n-4 || (n-4)%step != 0 {
		t.Fatalf("CDB %s: sense data %q, % x", cdb, why, buf[:n])
	}
	for b := buf[4:n]; len(b) > 0; b = b[step:] {
		c := listedCommand{op: b[0], sa: none}
		if b[5]&1 != 0 { // SERVACTV
			c.sa = int(binary.BigEndian.Uint16(b[2:]))
		} else if b[2] != 0 || b[3] != 0 {
			t.Errorf("service action without SERVACTV: % x", b[:step])
		}
		if ctdp := b[5]&2 != 0; ctdp != timeouts || b[1] != 0 || b[4] != 0 || b[5]&^3 != 0 {
			t.Errorf("descriptor % x", b[:step])
		}
		if timeouts && !bytes.Equal(b[8:20], unhex("000a 00 00 00000000 00000000")) {
			t.Errorf("timeouts descriptor % x", b[8:20])
		}
		list = append(list, c)
		sizes = append(sizes, int(binary.BigEndian.Uint16(b[6:])))
	}
	return list, sizes
}

// listOne parses the data-in with the other REPORTING OPTIONS.
func listOne(t *testing.T, d *Disk, options int, op byte, sa int) (support byte, usage, timeouts []byte, why string) {
	t.Helper()
	buf := stale(256)
	n, why := execute(t, d, unhex(fmt.Sprintf("a3 0c %02x %02x %04x 00000100 00 00", options, op, sa)), buf)
	if why != "" {
		return 0, nil, nil, why
	}
	b := buf[:n]
	size := int(binary.BigEndian.Uint16(b[2:]))
	if b[0] != 0 || b[1]&0x78 != 0 || len(b) < 4+size || b[1]&0x80 == 0 && len(b) != 4+size {
		t.Fatalf("opcode %02x, service action %x: % x", op, sa, b)
	}
	return b[1] & 7, b[4 : 4+size], b[4+size:], ""
}

func TestSupportedOperationCodes(t *testing.T) {
	d := newUnit("thin", 512).Disk
	want := []listedCommand{
		{0x00, none, unhex("00 00 00 00 00 00")},
		{0x03, none, unhex("03 01 00 00 ff 00")},
		{0x08, none, unhex("08 1f ffff ff 00")},
		{0x0a, none, unhex("0a 1f ffff ff 00")},
		{0x12, none, unhex("12 01 ff ffff 00")},
		{0x15, none, unhex("15 10 00 00 ff 00")},
		{0x16, none, unhex("16 00 00 00 00 00")},
		{0x17, none, unhex("17 00 00 00 00 00")},
		{0x1a, none, unhex("1a 08 ff ff ff 00")},
		{0x1b, none, unhex("1b 01 00 0f f7 00")},
		{0x1c, none, unhex("1c 01 ff ffff 00")},
		{0x1d, none, unhex("1d 17 00 ffff 00")},
		{0x25, none, unhex("25 00 00000000 00 00 00 00")},
		{0x28, none, unhex("28 18 ffffffff 00 ffff 00")},
		{0x2a, none, unhex("2a 18 ffffffff 00 ffff 00")},
		{0x2e, none, unhex("2e 12 ffffffff 00 ffff 00")},
		{0x2f, none, unhex("2f 16 ffffffff 00 ffff 00")},
		{0x34, none, unhex("34 02 ffffffff 3f ffff 00")},
		{0x35, none, unhex("35 02 ffffffff 00 ffff 00")},
		{0x37, none, unhex("37 00 1f 00000000 ffff 00")},
		{0x41, none, unhex("41 08 ffffffff 00 ffff 00")},
		{0x42, none, unhex("42 00 00000000 00 ffff 00")},
		{0x48, 0x01, unhex("48 a1 0000000000 ffff 00")},
		{0x48, 0x02, unhex("48 a2 0000000000 ffff 00")},
		{0x48, 0x1f, unhex("48 9f 0000000000 0000 00")},
		{0x4d, none, unhex("4d 00 ff ff 00 ffff ffff 00")},
		{0x55, none, unhex("55 10 00 00 00 00 00 ffff 00")},
		{0x56, none, unhex("56 00 00 00 00 00 00 ffff 00")},
		{0x57, none, unhex("57 00 00 00 00 00 00 ffff 00")},
		{0x5a, none, unhex("5a 18 ff ff 000000 ffff 00")},
		{0x5e, 0x00, unhex("5e 00 0000000000 ffff 00")},
		{0x5e, 0x01, unhex("5e 01 0000000000 ffff 00")},
		{0x5e, 0x02, unhex("5e 02 0000000000 ffff 00")},
		{0x5e, 0x03, unhex("5e 03 0000000000 ffff 00")},
		{0x5f, 0x00, unhex("5f 00 ff 0000 ffffffff 00")},
		{0x5f, 0x01, unhex("5f 01 ff 0000 ffffffff 00")},
		{0x5f, 0x02, unhex("5f 02 ff 0000 ffffffff 00")},
		{0x5f, 0x03, unhex("5f 03 ff 0000 ffffffff 00")},
		{0x5f, 0x04, unhex("5f 04 ff 0000 ffffffff 00")},
		{0x5f, 0x05, unhex("5f 05 ff 0000 ffffffff 00")},
		{0x5f, 0x06, unhex("5f 06 ff 0000 ffffffff 00")},
		{0x5f, 0x07, unhex("5f 07 ff 0000 ffffffff 00")},
		{0x88, none, unhex("88 18 ffffffffffffffff ffffffff 00 00")},
		{0x89, none, unhex("89 18 ffffffffffffffff 000000 ff 00 00")},
		{0x8a, none, unhex("8a 18 ffffffffffffffff ffffffff 00 00")},
		{0x8b, none, unhex("8b 18 ffffffffffffffff ffffffff 00 00")},
		{0x8e, none, unhex("8e 12 ffffffffffffffff ffffffff 00 00")},
		{0x8f, none, unhex("8f 16 ffffffffffffffff ffffffff 00 00")},
		{0x90, none, unhex("90 02 ffffffffffffffff ffffffff 3f 00")},
		{0x91, none, unhex("91 02 ffffffffffffffff ffffffff 00 00")},
		{0x93, none, unhex("93 09 ffffffffffffffff ffffffff 00 00")},
		{0x9e, 0x10, unhex("9e 10 0000000000000000 ffffffff 00 00")},
		{0x9e, 0x12, unhex("9e 12 ffffffffffffffff ffffffff 00 00")},
		{0xa0, none, unhex("a0 00 ff 000000 ffffffff 00 00")},
		{0xa3, 0x0a, unhex("a3 0a 00 00 0000 ffffffff 00 00")},
		{0xa3, 0x0c, unhex("a3 0c 87 ff ffff ffffffff 00 00")},
		{0xa3, 0x0d, unhex("a3 0d 80 00 0000 ffffffff 00 00")},
		{0xa8, none, unhex("a8 18 ffffffff ffffffff 00 00")},
		{0xaa, none, unhex("aa 18 ffffffff ffffffff 00 00")},
		{0xae, none, unhex("ae 12 ffffffff ffffffff 00 00")},
		{0xaf, none, unhex("af 16 ffffffff ffffffff 00 00")},
		{0xb7, none, unhex("b7 1f ffffffff ffffffff 00 00")},
	}
	list, _ := listAll(t, d, false)
	if len(list) != len(want) {
		t.Errorf("%d commands, want %d", len(list), len(want))
	}
	for i, c := range list[:min(len(list), len(want))] {
		if c.op != want[i].op || c.sa != want[i].sa {
			t.Fatalf("command %d is %02x/%x, want %02x/%x", i, c.op, c.sa, want[i].op, want[i].sa)
		}
		if _, usage, _, why := listOne(t, d, 3, c.op, max(c.sa, 0)); why != "" || !bytes.Equal(usage, want[i].usage) {
			t.Errorf("%02x: sense data %q, usage data % x, want % x", c.op, why, usage, want[i].usage)
		}
	}
}

// It asks for every row of the table in every way.
func TestReportingOptionsAgree(t *testing.T) {
	for _, variant := range allVariants {
		u := newUnit(variant, 512)
		plain, sizes := listAll(t, u.Disk, false)
		timed, timedSizes := listAll(t, u.Disk, true)
		if len(plain) != len(u.listed) || len(timed) != len(u.listed) {
			t.Fatalf("%s: %d commands and, with timeouts, %d; want %d", variant, len(plain), len(timed), len(u.listed))
		}
		for i, c := range plain {
			row := u.listed[i]
			if c.op != row.op || c.sa != row.sa || sizes[i] != len(row.usage) {
				t.Errorf("%s: %s is reported as %02x/%x of %d bytes", variant, row.name, c.op, c.sa, sizes[i])
			}
			if timed[i].op != c.op || timed[i].sa != c.sa || timedSizes[i] != sizes[i] {
				t.Errorf("%s: %s is reported differently with timeouts", variant, row.name)
			}
			right, wrong := 1, 2
			if c.sa != none {
				right, wrong = 2, 1
			}
			for _, options := range []int{right, 3} {
				support, usage, timeouts, why := listOne(t, u.Disk, options, c.op, max(c.sa, 0))
				if why != "" || support != 3 || !bytes.Equal(usage, row.usage) || len(timeouts) > 0 {
					t.Errorf("%s: %s with option %d: sense data %q, SUPPORT %d, usage data % x, timeouts % x",
						variant, row.name, options, why, support, usage, timeouts)
				}
				_, usage, timeouts, _ = listOne(t, u.Disk, options|0x80, c.op, max(c.sa, 0))
				if !bytes.Equal(usage, row.usage) || !bytes.Equal(timeouts, unhex("000a 00 00 00000000 00000000")) {
					t.Errorf("%s: %s with RCTD: usage data % x, timeouts % x", variant, row.name, usage, timeouts)
				}
			}
			if _, _, _, why := listOne(t, u.Disk, wrong, c.op, max(c.sa, 0)); why != "5/24/00 cdb 2.2" {
				t.Errorf("%s: %s with option %d: sense data %q", variant, row.name, wrong, why)
			}
		}
	}
}

func TestReportSupportedOperationCodesFields(t *testing.T) {
	const unsupported = "00 01 0000"
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "unknown opcode", cdb: "a3 0c 01 c1 0000 00000100 00 00", want: unsupported},
		{name: "unknown opcode, with service action", cdb: "a3 0c 02 c1 0001 00000100 00 00", want: unsupported},
		{name: "unknown opcode, either", cdb: "a3 0c 03 c1 0000 00000100 00 00", want: unsupported},
		{name: "unknown opcode with timeouts", cdb: "a3 0c 81 c1 0000 00000100 00 00", want: unsupported},
		{name: "unknown service action", cdb: "a3 0c 02 9e 001f 00000100 00 00", want: unsupported},
		{name: "unknown service action, either", cdb: "a3 0c 03 9e 001f 00000100 00 00", want: unsupported},
		{name: "service action beyond five bits", cdb: "a3 0c 02 9e 0110 00000100 00 00", want: unsupported},
		{name: "service action of a command without, either", cdb: "a3 0c 03 28 0001 00000100 00 00", want: unsupported},
		{name: "service action is ignored with 001b", cdb: "a3 0c 01 00 0001 00000100 00 00", want: "00 03 0006 00 00 00 00 00 00"},
		{name: "001b for a command with service actions", cdb: "a3 0c 01 9e 0010 00000100 00 00", fail: "5/24/00 cdb 2.2"},
		{name: "010b for a command without service actions", cdb: "a3 0c 02 28 0000 00000100 00 00", fail: "5/24/00 cdb 2.2"},
		{name: "option 100b", cdb: "a3 0c 04 00 0000 00000100 00 00", fail: "5/24/00 cdb 2.2"},
		{name: "option 111b", cdb: "a3 0c 07 00 0000 00000100 00 00", fail: "5/24/00 cdb 2.2"},
		{name: "all, allocation length 4", cdb: "a3 0c 00 00 0000 00000004 00 00", want: "000001f0"},
		{name: "all with timeouts, allocation length 4", cdb: "a3 0c 80 00 0000 00000004 00 00", want: "000004d8"},
		{name: "allocation length that is negative in 32 bits", cdb: "a3 0c 01 00 0000 ffffffff 00 00", want: "00 03 0006 00 00 00 00 00 00"},
		{name: "allocation length 0", cdb: "a3 0c 00 00 0000 00000000 00 00"},
	})
}

func TestDisksThatAreNotThinHideTheUnmapBit(t *testing.T) {
	for variant, want := range map[string][2]byte{"thin": {0x08, 0x09}, "writable": {0x00, 0x01}, "read-only": {0x08, 0x09}} {
		d := newUnit(variant, 512).Disk
		for i, op := range []byte{0x41, 0x93} {
			if _, usage, _, _ := listOne(t, d, 1, op, 0); usage[1] != want[i] {
				t.Errorf("%s: usage data % x", variant, usage)
			}
		}
	}
	if _, why := execute(t, newUnit("writable", 512).Disk, unhex("93 08 0000000000000000 00000001 00 00"), stale(512)); why != "5/24/00 cdb 1.3" {
		t.Errorf("sense data %q", why)
	}
	if _, why := execute(t, newUnit("read-only", 512).Disk, unhex("93 08 0000000000000000 00000001 00 00"), stale(512)); why != "7/27/00" {
		t.Errorf("read-only: sense data %q", why)
	}
}

// The kernel executes them. If it passes one on, the disk does not support it.
func TestKernelCommandsFail(t *testing.T) {
	for _, c := range kernelCommands {
		cdb := make([]byte, 16)
		cdb[0], cdb[1] = c.op, byte(max(c.sa, 0))
		if _, why := execute(t, newUnit("thin", 512).Disk, cdb, stale(64)); why != "5/20/00" {
			t.Errorf("%s: sense data %q", c.name, why)
		}
	}
}

func TestCommandsAreListedOnlyWithTheirAbility(t *testing.T) {
	has := func(variant string, op byte) bool {
		support, _, _, _ := listOne(t, newUnit(variant, 512).Disk, 1, op, 0)
		return support == 3
	}
	for _, tt := range []struct {
		name string
		op   byte
		on   map[string]bool
	}{
		{"UNMAP", 0x42, map[string]bool{"thin": true, "removable": true}},
		{"PREVENT ALLOW MEDIUM REMOVAL", 0x1e, map[string]bool{"removable": true, "cdrom": true}},
		{"READ TOC/PMA/ATIP", 0x43, map[string]bool{"cdrom": true}},
		{"COMPARE AND WRITE", 0x89, map[string]bool{"thin": true, "removable": true, "writable": true, "read-only": true}},
		{"READ(10)", 0x28, map[string]bool{"thin": true, "writable": true, "read-only": true, "removable": true, "cdrom": true}},
		{"WRITE(10)", 0x2a, map[string]bool{"thin": true, "writable": true, "read-only": true, "removable": true}},
	} {
		for _, variant := range allVariants {
			if got := has(variant, tt.op); got != tt.on[variant] {
				t.Errorf("%s on a %s disk: %v", tt.name, variant, got)
			}
		}
	}
}
