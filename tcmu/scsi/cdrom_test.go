package scsi

import (
	"bytes"
	"fmt"
	"testing"
)

// newDisc returns a CD-ROM with a disc of a size in bytes.
func newDisc(size int64) *Disk {
	return NewDisk(newHugeStore(size), Options{BlockSize: 2048, Serial: testSerial, NAA: testNAA, CDROM: true})
}

func TestCDROMIsAMultimediaDevice(t *testing.T) {
	testExchanges(t, newDisc(100<<20), []exchange{
		{name: "type 5, removable, MMC-6", cdb: "12 00 00 0040 00", room: 64,
			want: "05 80 06 12 5b 10 00 02 4c554e53455256454449534b20494d414745202020202020 31202020" +
				"0000000000000000000000000000000000000000 0000 00a0 0460 04e0"},
		{name: "VPD pages", cdb: "12 01 00 00ff 00", room: 16, want: "05 00 0004 00 80 83 86"},
		{name: "capacity", cdb: "25 00 00000000 00 00 00 00", room: 8, want: "0000c7ff 00000800"},
		{name: "toc", cdb: "43 00 00 000000 00 0018 00", room: 24, want: "0012 01 01 00 14 01 00 00000000 00 14 aa 00 0000c800"},
		{name: "toc by time", cdb: "43 02 00 000000 01 0018 00", room: 24, want: "0012 01 01 00 14 01 00 00000200 00 14 aa 00 000b1832"},
		{name: "lead-out", cdb: "43 00 00 000000 aa 0018 00", room: 24, want: "000a 01 01 00 14 aa 00 0000c800"},
		{name: "no track 2", cdb: "43 00 00 000000 02 0018 00", fail: "5/24/00 cdb 6"},
		{name: "sessions", cdb: "43 00 01 000000 00 000c 00", room: 12, want: "000a 01 01 00 14 01 00 00000000"},
		{name: "sessions as Linux asks", cdb: "43 00 00 000000 00 000c 40", room: 12, want: "000a 01 01 00 14 01 00 00000000"},
		{name: "raw toc", cdb: "43 02 02 000000 00 00ff 00", room: 64, want: "002e 01 01" +
			"01 14 00 a0 000000 00 01 00 00 01 14 00 a1 000000 00 01 00 00 01 14 00 a2 000000 00 0b 18 32 01 14 00 01 000000 00 00 02 00"},
		{name: "ATIP", cdb: "43 02 04 000000 00 00ff 00", fail: "5/24/00 cdb 2.3"},
		{name: "profile and features", cdb: "46 00 0000 000000 00ff 00", room: 255, want: "00000038 0000 0008" +
			"0000 03 08 0010 0000 0008 0100 0001 0b 08 00000001 00000000 0002 07 04 00000000 0003 07 04 39000000 0010 01 08 00000800 0001 0100"},
		{name: "one feature", cdb: "46 02 0003 000000 00ff 00", room: 64, want: "0000000c 0000 0008 0003 07 04 39000000"},
		{name: "disc", cdb: "51 00 0000000000 0022 00", room: 34, want: "0020 0e 01 01 01 01 20 0000000000000000 ffffffffffffffff 00000000000000000000"},
		{name: "track", cdb: "52 01 00000001 00 0024 00", room: 36, want: "0022 01 01 00 04 01 00 00000000 00000000 00000000 00000000 0000c800 0000000000000000"},
		{name: "no track 3", cdb: "52 01 00000003 00 0024 00", fail: "5/24/00 cdb 2"},
		{name: "capabilities", cdb: "5a 00 2a 00000000 00ff 00", room: 64, want: "001c 00 00 00 00 0000 2a 14 08 00 00 00 29 00 2260 0000 0000 2260 0000 0000 0000"},
		{name: "no WRITE", cdb: "2a 00 00000000 00 0001 00", out: "00", fail: "5/20/00"},
	})
	d := newDisc(5 << 30)
	testExchanges(t, d, []exchange{
		{name: "a DVD is longer", cdb: "46 01 ffff 000000 00ff 00", room: 8, want: "00000004 0000 0010"},
	})
}

func TestReadCDReturnsUserData(t *testing.T) {
	u := newUnit("cdrom", discBlock) // 512 blocks
	data := fmt.Sprintf("%x", u.bytes[3*discBlock:5*discBlock])
	testExchanges(t, u.Disk, []exchange{
		{name: "any sector", cdb: "be 00 00000003 000002 10 00 00", room: 2 * discBlock, want: data},
		{name: "mode 1", cdb: "be 08 00000003 000002 10 00 00", room: 2 * discBlock, want: data},
		{name: "no data", cdb: "be 00 00000003 000002 00 00 00"},
		{name: "no data past the end", cdb: "be 00 000001ff 000002 00 00 00", fail: "5/21/00 info 511"},
		{name: "past the end", cdb: "be 00 000001ff 000002 10 00 00", fail: "5/21/00 info 511"},
		{name: "audio", cdb: "be 04 00000003 000002 10 00 00", fail: "5/64/00"},
		{name: "raw", cdb: "be 00 00000003 000002 f8 00 00", fail: "5/24/00 cdb 9.7"},
		{name: "subchannels", cdb: "be 00 00000003 000002 10 01 00", fail: "5/24/00 cdb 10.0"},
		{name: "no structure of a CD", cdb: "ad 00 00000000 00 00 ffff 00 00", fail: "5/30/02"},
	})
}

func TestDVDHasItsStructures(t *testing.T) {
	d := newDisc(5 << 30)
	testExchanges(t, d, []exchange{
		{name: "list", cdb: "ad 00 00000000 00 ff 0100 00 00", room: 64, want: "000e 0000 00 40 0804 01 40 0008 04 40 0804"},
		{name: "physical", cdb: "ad 00 00000000 00 00 0014 00 00", room: 20, want: "0802 0000 01 0f 01 00 00030000 002affff 00000000"},
		{name: "copyright", cdb: "ad 00 00000000 00 01 0100 00 00", room: 64, want: "0006 0000 00000000"},
		{name: "manufacturing", cdb: "ad 00 00000000 00 04 0008 00 00", room: 8, want: "0802 0000 00000000"},
		{name: "no burst cutting area", cdb: "ad 00 00000000 00 03 0100 00 00", fail: "5/24/00 cdb 7"},
		{name: "no second layer", cdb: "ad 00 00000000 01 00 0100 00 00", fail: "5/24/00 cdb 6"},
		{name: "no Blu-ray", cdb: "ad 01 00000000 00 00 0100 00 00", fail: "5/24/00 cdb 1.0"},
		{name: "no READ CD", cdb: "be 00 00000003 000002 10 00 00", fail: "5/30/02"},
	})
}

// The largest disc has all its blocks in READ CAPACITY and READ(10), and so its last.
// What READ CD reads before a bad block comes with the error.
func TestReadCDEndsAtABadBlock(t *testing.T) {
	u := newUnit("cdrom", discBlock)
	u.suffer(t, "read lba 20+1: medium")
	for _, first := range []int64{18, 4} { // 2 and 16 good blocks
		cdb, buf := unhex(fmt.Sprintf("be 00 %08x 000020 10 00 00", first)), make([]byte, 32*discBlock)
		r, _ := anyhow(t, u.Disk, cdb, buf)
		good := int(20-first) * discBlock
		if s := r.Sense; r.Status != checkCondition || s[2]&0xf != 3 || s[12] != 0x11 || s[6] != 20 || int(r.DataIn) != good {
			t.Errorf("from %d: %+v", first, r)
		}
		if want := u.bytes[first*discBlock:]; !bytes.Equal(buf[:good], want[:good]) {
			t.Errorf("from %d: other data", first)
		}
	}
}

func TestLargestDiscIsRead(t *testing.T) {
	testExchanges(t, newDisc(MaxCDROM), []exchange{
		{name: "capacity", cdb: "25 00 00000000 00 00 00 00", room: 8, want: "fffffffe 00000800"},
		{name: "last block", cdb: "28 00 fffffffe 00 0001 00", room: 8, want: "0000000000000000"},
		{name: "past the end", cdb: "28 00 fffffffe 00 0002 00", fail: "5/21/00 info 4294967294"},
	})
}

func TestEjectedDiscIsAnEvent(t *testing.T) {
	const event, only = "4a 01 0000 10 0000 0008 00", "46 02 0010 000000 0014 00"
	d := newDisc(100 << 20)
	eject := func(t *testing.T, cdb string) {
		t.Helper()
		if r, err := d.Execute(unhex(cdb), nil, true); err != nil || r.Status != good {
			t.Fatal(r, err)
		}
	}
	testExchanges(t, d, []exchange{
		{name: "nothing has happened", cdb: event, room: 8, want: "0006 04 10 00 02 00 00"},
		{name: "no other class", cdb: "4a 01 0000 02 0000 0008 00", room: 8, want: "0002 80 10"},
		{name: "only polled", cdb: "4a 00 0000 10 0000 0008 00", fail: "5/24/00 cdb 1.0"},
	})
	eject(t, "1b 00 00 00 02 00")
	testExchanges(t, d, []exchange{
		{name: "no room for the event", cdb: "4a 01 0000 10 0000 0004 00", room: 4, want: "0006 04 10"},
		{name: "ejected", cdb: event, room: 8, want: "0006 04 10 03 01 00 00"},
		{name: "told once", cdb: event, room: 8, want: "0006 04 10 00 01 00 00"},
		{name: "no profile", cdb: only, room: 20, want: "00000010 0000 0000 0010 00 08 00000800 0001 0100"},
		{name: "no medium", cdb: "43 00 00 000000 00 0018 00", fail: "2/3a/00"},
	})
	eject(t, "1b 00 00 00 03 00")
	testExchanges(t, d, []exchange{
		{name: "loaded", cdb: event, room: 8, want: "0006 04 10 02 02 00 00"},
		{name: "ready", cdb: "00 00 00 00 00 00"},
	})
}

// A lock is told for as long as one remains, where the nexus that asked for it is known.
func TestLockOfADiscEndsWithIt(t *testing.T) {
	const capabilities = "5a 00 2a 00000000 0010 00"
	_, _, n := direct("cdrom", 1)
	for _, step := range []struct {
		cdb    string
		locked byte
	}{{allow, 0}, {prevent, 2}, {allow, 0}} {
		n[0].want(t, "", step.cdb)
		const lockState = 8 + 6 // behind the header
		if page, why := n[0].send(t, capabilities); why != "" || page[lockState]&2 != step.locked {
			t.Errorf("after %s: %q, % x", step.cdb, why, page)
		}
	}
}
