package scsi

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTableIsConsistent(t *testing.T) {
	testTable(t, commands, true)
	testTable(t, kernelCommands, false)
}

// testTable checks a table of commands. ours reports whether all have
// functions.
func testTable(t *testing.T, commands []command, ours bool) {
	t.Helper()
	lengths := map[byte]int{0: 6, 1: 10, 2: 10, 4: 16, 5: 12} // by group code (SPC-5, OPERATION CODE field)
	names := map[string]bool{}
	for i, c := range commands {
		usage, err := hex.DecodeString(strings.ReplaceAll(c.usage, " ", ""))
		if err != nil || len(usage) < 6 {
			t.Errorf("%s: usage data %q: %v", c.name, c.usage, err)
			continue
		}
		if usage[0] != c.op {
			t.Errorf("%s: usage data begins with %02x, want the opcode", c.name, usage[0])
		}
		if want := lengths[c.op>>5]; len(usage) != want {
			t.Errorf("%s: CDB of %d bytes, want %d by its opcode", c.name, len(usage), want)
		}
		if usage[len(usage)-1] != 0 && c.op != 0x43 { // where MMC-1 has the format
			t.Errorf("%s: CONTROL is %02x, want no bits", c.name, usage[len(usage)-1])
		}
		if c.sa != none && usage[1]&0x1f != byte(c.sa) {
			t.Errorf("%s: SERVICE ACTION %02x in the usage data, want %02x", c.name, usage[1]&0x1f, c.sa)
		}
		if _, err := c.parts(); err != nil {
			t.Errorf("%s: fields of the CDB: %v", c.name, err)
		}
		if names[c.name] || c.name == "" {
			t.Errorf("name %q is not unique", c.name)
		}
		names[c.name] = true
		if c.run == nil && ours {
			t.Errorf("%s: has no function", c.name)
		}
		if c.attrs&changes != 0 && c.attrs&(dataOut|media) != dataOut|media {
			t.Errorf("%s changes the medium, but is not a medium command with data-out", c.name)
		}
		if c.sa != none && i > 0 && commands[i-1].op == c.op && commands[i-1].sa == none {
			t.Errorf("%s: its opcode has commands with and without service actions", c.name)
		}
	}
	if !slices.IsSortedFunc(commands, func(a, b command) int {
		if a.op != b.op {
			return int(a.op) - int(b.op)
		}
		if a.sa == b.sa {
			t.Errorf("%s and %s are the same command", a.name, b.name)
		}
		return a.sa - b.sa
	}) {
		t.Error("not sorted by opcode and service action")
	}
}

func TestEveryReservedBitIsRefused(t *testing.T) {
	for _, variant := range allVariants {
		u := newUnit(variant, 512)
		for _, row := range u.rows {
			t.Run(variant+"/"+row.name, func(t *testing.T) {
				for i := 1; i < len(row.usage); i++ {
					for bit := range 8 {
						if row.usage[i]>>bit&1 != 0 || i == 1 && bit < 5 && row.sa != none {
							continue
						}
						cdb := row.emptyCDB()
						cdb[i] |= 1 << bit
						for _, wait := range []bool{false, true} {
							r, err := u.Execute(cdb, [][]byte{stale(512)}, wait)
							if err != nil {
								t.Errorf("%x: %v", cdb, err)
								continue
							}
							want := fmt.Sprintf("5/24/00 cdb %d.%d", i, bit)
							if got := checkResult(t, r, 512); got != want {
								t.Errorf("%x: sense data %q, want %q", cdb, got, want)
							}
						}
					}
				}
			})
		}
		if len(u.calls) > 0 {
			t.Errorf("%s: store calls %q", variant, u.calls)
		}
	}
}

func TestFieldPointerIsLeftmostBadBit(t *testing.T) {
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "of a byte", cdb: "00 7f 00 00 00 00", fail: "5/24/00 cdb 1.6"},
		{name: "of the CDB", cdb: "00 01 80 00 00 ff", fail: "5/24/00 cdb 1.0"},
		{name: "NACA", cdb: "28 00 00000000 00 0000 04", fail: "5/24/00 cdb 9.2"},
		{name: "GROUP NUMBER", cdb: "28 00 00000000 1f 0000 00", fail: "5/24/00 cdb 6.4"},
	})
}
