package scsi

import (
	"fmt"
	"testing"
)

func TestModeSense(t *testing.T) {
	const (
		caching  = "08 12 04 00 0000 0000 0000 0000 00 00 0000 00 000000" // WCE
		control  = "0a 0a 00 10 00 00 0000 ffff 0000"                     // unrestricted reordering, no busy timeout
		caching0 = "08 12 00 00 0000 0000 0000 0000 00 00 0000 00 000000"
		cachingC = "08 12 04 00 0000 0000 0000 0000 00 00 0000 00 000000" // WCE
		controlC = "0a 0a 04 00 08 00 0000 0000 0000"                     // D_SENSE, SWP
		blocks   = "00000800 00 000200"
		blocks16 = "0000000000000800 00000000 00000200"
	)
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "(6) all pages", cdb: "1a 00 3f 00 ff 00", want: "2b 00 10 08" + blocks + caching + control},
		{name: "(6) all pages and subpages", cdb: "1a 00 3f ff ff 00", want: "2b 00 10 08" + blocks + caching + control},
		{name: "(6) DBD", cdb: "1a 08 3f 00 ff 00", want: "23 00 10 00" + caching + control},
		{name: "(6) caching", cdb: "1a 00 08 00 ff 00", want: "1f 00 10 08" + blocks + caching},
		{name: "(6) caching, DBD", cdb: "1a 08 08 00 ff 00", want: "17 00 10 00" + caching},
		{name: "(6) control", cdb: "1a 08 0a 00 ff 00", want: "0f 00 10 00" + control},
		{name: "(6) changeable", cdb: "1a 08 7f 00 ff 00", want: "23 00 10 00" + cachingC + controlC},
		{name: "(6) default", cdb: "1a 08 bf 00 ff 00", want: "23 00 10 00" + caching + control},
		{name: "(6) saved", cdb: "1a 08 ff 00 ff 00", fail: "5/39/00"},
		{name: "(6) saved caching", cdb: "1a 00 c8 00 ff 00", fail: "5/39/00"},
		{name: "(6) unknown page", cdb: "1a 00 01 00 ff 00", fail: "5/24/00 cdb 2.5"},
		{name: "(6) vendor specific page", cdb: "1a 00 00 00 ff 00", fail: "5/24/00 cdb 2.5"},
		{name: "(6) unknown subpage", cdb: "1a 00 0a 01 ff 00", fail: "5/24/00 cdb 3"},
		{name: "(6) unknown subpage of all pages", cdb: "1a 00 3f 01 ff 00", fail: "5/24/00 cdb 3"},
		{name: "(6) truncated", cdb: "1a 00 3f 00 04 00", want: "2b 00 10 08"},
		{name: "(6) into short buffers", cdb: "1a 00 3f 00 ff 00", room: 4, want: "2b 00 10 08"},
		{name: "(6) allocation length 0", cdb: "1a 00 3f 00 00 00"},
		{name: "(6) LLBAA, not supported", cdb: "1a 10 3f 00 ff 00", fail: "5/24/00 cdb 1.4"},

		{name: "(10) all pages", cdb: "5a 00 3f 00 000000 0100 00", want: "002e 00 10 00 00 0008" + blocks + caching + control},
		{name: "(10) all pages and subpages", cdb: "5a 00 3f ff 000000 0100 00", want: "002e 00 10 00 00 0008" + blocks + caching + control},
		{name: "(10) LLBAA", cdb: "5a 10 3f 00 000000 0100 00", want: "0036 00 10 01 00 0010" + blocks16 + caching + control},
		{name: "(10) DBD", cdb: "5a 08 08 00 000000 0100 00", want: "001a 00 10 00 00 0000" + caching},
		{name: "(10) changeable", cdb: "5a 08 48 00 000000 0100 00", want: "001a 00 10 00 00 0000" + cachingC},
		{name: "(10) default", cdb: "5a 08 8a 00 000000 0100 00", want: "0012 00 10 00 00 0000" + control},
		{name: "(10) saved", cdb: "5a 08 c8 00 000000 0100 00", fail: "5/39/00"},
		{name: "(10) unknown page", cdb: "5a 00 1c 00 000000 0100 00", fail: "5/24/00 cdb 2.5"},
		{name: "(10) unknown subpage", cdb: "5a 00 0a 05 000000 0100 00", fail: "5/24/00 cdb 3"},
		{name: "(10) truncated", cdb: "5a 00 3f 00 000000 0008 00", want: "002e 00 10 00 00 0008"},
		{name: "(10) allocation length 0", cdb: "5a 00 3f 00 000000 0000 00"},
	})
	testExchanges(t, newUnit("writable", 4096).Disk, []exchange{
		{name: "(6) blocks of 4096", cdb: "1a 00 08 00 ff 00", want: "1f 00 10 08  00000100 00 001000" + caching},
	})
	testExchanges(t, newUnit("read-only", 512).Disk, []exchange{
		{name: "(6) WP, no WCE", cdb: "1a 00 3f 00 ff 00", want: "2b 00 90 08" + blocks + caching0 + control},
		{name: "(6) changeable, WCE is not", cdb: "1a 08 7f 00 ff 00", want: "23 00 90 00" + caching0 + controlC},
		{name: "(10) WP, no WCE", cdb: "5a 08 3f 00 000000 0100 00", want: "0026 00 90 00 00 0000" + caching0 + control},
	})
	d, _ := newHugeDisk(1<<50, 512)
	testExchanges(t, d, []exchange{
		{name: "(6) more blocks than 32 bits", cdb: "1a 00 0a 00 ff 00", want: "17 00 10 08  ffffffff 00 000200" + control},
		{name: "(10) LLBAA, 64 bits", cdb: "5a 10 0a 00 000000 ff00 00", want: "0022 00 10 01 00 0010  0000020000000000 00000000 00000200" + control},
	})
}

func TestUnknownModePagesFail(t *testing.T) {
	d := newUnit("thin", 512).Disk
	has := map[int]int{0x08: 18, 0x0a: 10}
	for code := range 0x3f {
		buf := stale(256)
		n, why := execute(t, d, unhex(fmt.Sprintf("1a 08 %02x 00 ff 00", code)), buf)
		switch length, ok := has[code]; {
		case ok && (why != "" || n != 4+2+length || int(buf[0]) != n-1 || int(buf[4]) != code || int(buf[5]) != length):
			t.Errorf("page %02x: sense data %q, % x", code, why, buf[:n])
		case !ok && why != "5/24/00 cdb 2.5":
			t.Errorf("page %02x: sense data %q", code, why)
		}
	}
}
