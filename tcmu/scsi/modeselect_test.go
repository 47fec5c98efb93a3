package scsi

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Mode pages and headers of MODE SELECT, for a disk of 2048 blocks of 512 bytes.
const (
	header6     = "00 00 00 00"
	header10    = "0000 00 00 00 00 0000"
	cachingOn   = "08 12 04 00 0000 0000 0000 0000 00 00 0000 00 000000"
	cachingOff  = "08 12 00 00 0000 0000 0000 0000 00 00 0000 00 000000"
	controlNone = "0a 0a 00 10 00 00 0000 ffff 0000"
	controlD    = "0a 0a 04 10 00 00 0000 ffff 0000"
	controlSWPd = "0a 0a 00 10 08 00 0000 ffff 0000"
	controlBoth = "0a 0a 04 10 08 00 0000 ffff 0000"
)

// selectModes sends a mode parameter list with MODE SELECT(6).
func selectModes(t *testing.T, d *Disk, list string) {
	t.Helper()
	b := unhex(list)
	if _, why := execute(t, d, unhex(fmt.Sprintf("15 10 0000 %02x 00", len(b))), b); why != "" {
		t.Fatalf("MODE SELECT(6) of %s: sense data %q", list, why)
	}
}

// modes returns the names of the changeable bits, and of WP, that MODE SENSE
// reports as set.
func modes(t *testing.T, d *Disk) (s string) {
	t.Helper()
	b := dataIn(t, d, "1a 08 3f 00 ff 00")
	for _, f := range []struct {
		name string
		set  bool
	}{{"WP", b[2]&0x80 != 0}, {"WCE", b[6]&0x04 != 0}, {"D_SENSE", b[26]&0x04 != 0}, {"SWP", b[28]&0x08 != 0}} {
		if f.set {
			s += " " + f.name
		}
	}
	return strings.TrimSpace(s)
}

func TestModeSelect(t *testing.T) {
	const blocks, blocks16 = "00000800 00 000200", "0000000000000800 00000000 00000200"
	for _, tt := range []struct {
		name string
		cdb  string
		list string
		want string // modes; "WCE" if unchanged
		fail string
	}{
		{name: "(6) no list", cdb: "15 10 0000 00 00", want: "WCE"},
		{name: "(6) header alone", cdb: "15 10 0000 04 00", list: header6, want: "WCE"},
		{name: "(6) current values", cdb: "15 10 0000 24 00", list: header6 + cachingOn + controlNone, want: "WCE"},
		{name: "(6) WCE", cdb: "15 10 0000 18 00", list: header6 + cachingOff},
		{name: "(6) D_SENSE", cdb: "15 10 0000 10 00", list: header6 + controlD, want: "WCE D_SENSE"},
		{name: "(6) SWP", cdb: "15 10 0000 10 00", list: header6 + controlSWPd, want: "WP WCE SWP"},
		{name: "(6) two pages", cdb: "15 10 0000 24 00", list: header6 + cachingOff + controlBoth, want: "WP D_SENSE SWP"},
		{name: "(6) two pages, in reverse order", cdb: "15 10 0000 24 00", list: header6 + controlD + cachingOff, want: "D_SENSE"},
		{name: "(6) a page twice, the last one wins", cdb: "15 10 0000 2c 00", list: header6 + cachingOff + cachingOn, want: "WCE"},
		{name: "(6) more data-out than the length", cdb: "15 10 0000 04 00", list: header6 + cachingOff, want: "WCE"},
		{name: "(6) block descriptor", cdb: "15 10 0000 20 00", list: "00 00 00 08" + blocks + cachingOff},
		{name: "(6) block descriptor of all blocks", cdb: "15 10 0000 0c 00", list: "00 00 00 08 00000000 00 000200", want: "WCE"},
		{name: "(6) DEVICE-SPECIFIC PARAMETER of MODE SENSE", cdb: "15 10 0000 18 00", list: "00 00 10 00" + cachingOff},
		{name: "(10) header alone", cdb: "55 10 0000000000 0008 00", list: header10, want: "WCE"},
		{name: "(10) no list", cdb: "55 10 0000000000 0000 00", want: "WCE"},
		{name: "(10) two pages", cdb: "55 10 0000000000 0028 00", list: header10 + cachingOff + controlD, want: "D_SENSE"},
		{name: "(10) block descriptor", cdb: "55 10 0000000000 0024 00", list: "0000 00 00 00 00 0008" + blocks + cachingOff},
		{name: "(10) LONGLBA block descriptor", cdb: "55 10 0000000000 002c 00", list: "0000 00 00 01 00 0010" + blocks16 + cachingOff},

		{name: "(6) PF is zero", cdb: "15 00 0000 18 00", list: header6 + cachingOff, want: "WCE", fail: "5/24/00 cdb 1.4"},
		{name: "(10) PF is zero", cdb: "55 00 0000000000 001c 00", list: header10 + cachingOff, want: "WCE", fail: "5/24/00 cdb 1.4"},
		{name: "(6) SP", cdb: "15 11 0000 18 00", list: header6 + cachingOff, want: "WCE", fail: "5/24/00 cdb 1.0"},
		{name: "(6) RTD", cdb: "15 12 0000 00 00", want: "WCE", fail: "5/24/00 cdb 1.1"},
		{name: "(6) list shorter than its header", cdb: "15 10 0000 03 00", list: "00 00 00", want: "WCE", fail: "5/1a/00"},
		{name: "(10) list shorter than its header", cdb: "55 10 0000000000 0007 00", list: header10, want: "WCE", fail: "5/1a/00"},
		{name: "(6) less data-out than the length", cdb: "15 10 0000 18 00", list: header6 + cachingOff[:14], want: "WCE", fail: "5/1a/00"},
		{name: "(6) no data-out", cdb: "15 10 0000 18 00", want: "WCE", fail: "5/1a/00"},
		{name: "(6) page truncated", cdb: "15 10 0000 17 00", list: header6 + cachingOff, want: "WCE", fail: "5/1a/00"},
		{name: "(6) page truncated after a whole one", cdb: "15 10 0000 23 00", list: header6 + cachingOff + controlD, want: "WCE", fail: "5/1a/00"},
		{name: "(6) page of one byte", cdb: "15 10 0000 05 00", list: header6 + "0a", want: "WCE", fail: "5/1a/00"},
		{name: "(6) unknown page", cdb: "15 10 0000 10 00", list: header6 + "01 0a 00 10 00 00 0000 ffff 0000", want: "WCE", fail: "5/26/00 list 4"},
		{name: "(6) unknown page after a good one", cdb: "15 10 0000 24 00", list: header6 + cachingOff + "1c 0a 00 10 00 00 0000 ffff 0000", want: "WCE", fail: "5/26/00 list 24"},
		{name: "(6) PS", cdb: "15 10 0000 10 00", list: header6 + "8a 0a 04 10 00 00 0000 ffff 0000", want: "WCE", fail: "5/26/00 list 4"},
		{name: "(6) SPF", cdb: "15 10 0000 10 00", list: header6 + "4a 0a 04 10 00 00 0000 ffff 0000", want: "WCE", fail: "5/26/00 list 4"},
		{name: "(6) page length", cdb: "15 10 0000 10 00", list: header6 + "0a 0b 04 10 00 00 0000 ffff 0000", want: "WCE", fail: "5/26/00 list 5"},
		{name: "(6) a bit that cannot change", cdb: "15 10 0000 18 00", list: header6 + "08 12 05 00 0000 0000 0000 0000 00 00 0000 00 000000", want: "WCE", fail: "5/26/00 list 6"},
		{name: "(6) a bit that cannot be cleared", cdb: "15 10 0000 10 00", list: header6 + "0a 0a 04 00 00 00 0000 ffff 0000", want: "WCE", fail: "5/26/00 list 7"},
		{name: "(6) the last byte of a page", cdb: "15 10 0000 18 00", list: header6 + "08 12 00 00 0000 0000 0000 0000 00 00 0000 00 000001", want: "WCE", fail: "5/26/00 list 23"},
		{name: "(6) bad page after a good one", cdb: "15 10 0000 24 00", list: header6 + cachingOff + "0a 0a 04 10 00 00 0000 fffe 0000", want: "WCE", fail: "5/26/00 list 33"},
		{name: "(6) block descriptor length past the list", cdb: "15 10 0000 0b 00", list: "00 00 00 08" + blocks, want: "WCE", fail: "5/1a/00"},
		{name: "(6) block descriptor length of no descriptor", cdb: "15 10 0000 08 00", list: "00 00 00 04 00000000", want: "WCE", fail: "5/26/00 list 3"},
		{name: "(6) two block descriptors", cdb: "15 10 0000 14 00", list: "00 00 00 10" + blocks + blocks, want: "WCE", fail: "5/26/00 list 3"},
		{name: "(6) other number of blocks", cdb: "15 10 0000 20 00", list: "00 00 00 08 00000801 00 000200" + cachingOff, want: "WCE", fail: "5/26/00 list 3"},
		{name: "(6) other block length", cdb: "15 10 0000 20 00", list: "00 00 00 08 00000800 00 001000" + cachingOff, want: "WCE", fail: "5/26/00 list 3"},
		{name: "(10) block descriptor length past the list", cdb: "55 10 0000000000 000f 00", list: "0000 00 00 00 00 0008" + blocks, want: "WCE", fail: "5/1a/00"},
		{name: "(10) long descriptor without LONGLBA", cdb: "55 10 0000000000 0018 00", list: "0000 00 00 00 00 0010" + blocks16, want: "WCE", fail: "5/26/00 list 6"},
		{name: "(10) short descriptor with LONGLBA", cdb: "55 10 0000000000 0010 00", list: "0000 00 00 01 00 0008" + blocks, want: "WCE", fail: "5/26/00 list 6"},
		{name: "(10) a bit that cannot change", cdb: "55 10 0000000000 001c 00", list: header10 + "08 12 01 00 0000 0000 0000 0000 00 00 0000 00 000000", want: "WCE", fail: "5/26/00 list 10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, shape := range shapes {
				u := newUnit("thin", 512)
				list := unhex(tt.list)
				n, why := execute(t, u.Disk, unhex(tt.cdb), split(list, shape...)...)
				if n != 0 || why != tt.fail {
					t.Errorf("in pieces of %d: sense data %q, want %q; %d bytes of data-in", shape, why, tt.fail, n)
				}
				if got := modes(t, u.Disk); got != tt.want {
					t.Errorf("in pieces of %d: modes %q, want %q", shape, got, tt.want)
				}
			}
		})
	}
}

// Initiators send what MODE SENSE returned, with the mode data length, which is
// reserved, set to zero.
func TestSensedPagesCanBeSelected(t *testing.T) {
	for _, variant := range variants {
		for _, blockSize := range []int{512, 4096} {
			d := newUnit(variant, blockSize).Disk
			for _, x := range []struct{ sense, sel string }{
				{"1a 00 3f 00 ff 00", "15 10 0000 %02x 00"},
				{"1a 08 3f ff ff 00", "15 10 0000 %02x 00"},
				{"5a 00 3f 00 000000 00ff 00", "55 10 0000000000 %04x 00"},
				{"5a 10 3f 00 000000 00ff 00", "55 10 0000000000 %04x 00"},
			} {
				b := dataIn(t, d, x.sense)
				b[0] = 0
				if b[1] = 0; x.sense[:2] == "1a" {
					b[2] &= 0x7f
				}
				if _, why := execute(t, d, unhex(fmt.Sprintf(x.sel, len(b))), b); why != "" {
					t.Errorf("%s: %s of % x: sense data %q", variant, x.sel, b, why)
				}
			}
		}
	}
}

func TestReadOnlyDiskCannotEnableWCE(t *testing.T) {
	d := newUnit("read-only", 512).Disk
	testExchanges(t, d, []exchange{
		{name: "WCE", cdb: "15 10 0000 18 00", out: header6 + cachingOn, fail: "5/26/00 list 6"},
		{name: "no WCE", cdb: "15 10 0000 18 00", out: header6 + cachingOff},
	})
	if got := modes(t, d); got != "WP" {
		t.Errorf("modes %q", got)
	}
}

func TestModeSelectChangesCurrentValuesOnly(t *testing.T) {
	d := newUnit("thin", 512).Disk
	initial, changeable := dataIn(t, d, "1a 08 bf 00 ff 00"), dataIn(t, d, "1a 08 7f 00 ff 00")
	selectModes(t, d, header6+cachingOff+controlD)
	if got := dataIn(t, d, "1a 08 bf 00 ff 00"); !bytes.Equal(got, initial) {
		t.Errorf("default values % x, before % x", got, initial)
	}
	if got := dataIn(t, d, "1a 08 7f 00 ff 00"); !bytes.Equal(got, changeable) {
		t.Errorf("changeable values % x, before % x", got, changeable)
	}
	if got := dataIn(t, d, "1a 08 3f 00 ff 00"); !bytes.Equal(got[4:], unhex(cachingOff+controlD)) {
		t.Errorf("current values % x", got)
	}
}

// mediumChanges returns all commands that change the medium, with their
// data-out.
func mediumChanges(u *unit) []exchange {
	same := fmt.Sprintf("%x%x", u.bytes[5*512:6*512], u.bytes[5*512:6*512])
	block, zeros := strings.Repeat("aa", 512), strings.Repeat("00", 512)
	return []exchange{
		{name: "WRITE(6)", cdb: "0a 00 0005 01 00", out: block},
		{name: "WRITE(10)", cdb: "2a 00 00000005 00 0001 00", out: block},
		{name: "WRITE(12)", cdb: "aa 00 00000005 00000001 00 00", out: block},
		{name: "WRITE(16)", cdb: "8a 00 0000000000000005 00000001 00 00", out: block},
		{name: "WRITE AND VERIFY(10)", cdb: "2e 00 00000005 00 0001 00", out: block},
		{name: "WRITE AND VERIFY(12)", cdb: "ae 02 00000005 00000001 00 00", out: block},
		{name: "WRITE AND VERIFY(16)", cdb: "8e 00 0000000000000005 00000001 00 00", out: block},
		{name: "COMPARE AND WRITE", cdb: "89 00 0000000000000005 000000 01 00 00", out: same},
		{name: "ORWRITE(16)", cdb: "8b 00 0000000000000005 00000001 00 00", out: block},
		{name: "WRITE SAME(10)", cdb: "41 00 00000005 00 0001 00", out: block},
		{name: "WRITE SAME(10), zeros", cdb: "41 00 00000005 00 0001 00", out: zeros},
		{name: "WRITE SAME(16)", cdb: "93 00 0000000000000005 00000001 00 00", out: block},
		{name: "WRITE SAME(16), UNMAP", cdb: "93 09 0000000000000005 00000001 00 00"},
		{name: "UNMAP", cdb: "42 00 00000000 00 0018 00", out: "0016 0010 00000000  0000000000000005 00000001 00000000"},
		{name: "SANITIZE, OVERWRITE", cdb: "48 01 0000000000 0005 00", out: "01 00 0001 aa"},
		{name: "SANITIZE, BLOCK ERASE", cdb: "48 02 0000000000 0000 00"},
	}
}

func TestMediumChangesIsComplete(t *testing.T) {
	u := newUnit("removable", 512)
	here := map[string]bool{}
	for _, x := range mediumChanges(u) {
		row, err := u.find(unhex(x.cdb))
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		here[row.name] = true
	}
	for _, row := range u.rows {
		if (row.attrs&changes != 0) != here[row.name] {
			t.Errorf("%s changes the medium: %v; in mediumChanges: %v", row.name, row.attrs&changes != 0, here[row.name])
		}
	}
}

func TestSoftwareWriteProtect(t *testing.T) {
	u := newUnit("thin", 512)
	before := slices.Clone(u.bytes)
	all := mediumChanges(u)
	selectModes(t, u.Disk, header6+controlSWPd)
	for _, x := range all {
		for _, wait := range []bool{false, true} {
			if r, err := u.Execute(unhex(x.cdb), [][]byte{unhex(x.out)}, wait); err == nil {
				if why := checkResult(t, r, 0); why != "7/27/02" {
					t.Errorf("%s: sense data %q, want DATA PROTECT, LOGICAL UNIT SOFTWARE WRITE PROTECTED", x.name, why)
				}
			} else if wait {
				t.Errorf("%s: %v, though it may wait", x.name, err)
			}
		}
	}
	if !bytes.Equal(before, u.bytes) || len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
	testExchanges(t, u.Disk, []exchange{
		{name: "READ(10)", cdb: "28 00 00000005 00 0000 00"},
		{name: "VERIFY(10)", cdb: "2f 00 00000005 00 0001 00"},
		{name: "SYNCHRONIZE CACHE(10)", cdb: "35 00 00000000 00 0000 00"},
		{name: "MODE SENSE(6) reports WP", cdb: "1a 08 0a 00 03 00", want: "0f 00 90"},
		{name: "MODE SENSE(10) reports WP", cdb: "5a 08 0a 00 000000 0004 00", want: "0012 00 90"},
	})
	selectModes(t, u.Disk, header6+controlNone)
	for _, x := range all[:8] {
		out := unhex(x.out)
		copy(u.bytes[5*512:], out[:512])
		if _, why := execute(t, u.Disk, unhex(x.cdb), out); why != "" {
			t.Errorf("%s, no longer protected: sense data %q", x.name, why)
		}
	}
}

// MODE SELECT cannot remove that protection.
func TestReadOnlyTakesPrecedenceOverSoftwareWriteProtect(t *testing.T) {
	u := newUnit("read-only", 512)
	selectModes(t, u.Disk, header6+controlSWPd)
	if _, why := execute(t, u.Disk, unhex("2a 00 00000005 00 0001 00"), stale(512)); why != "7/27/00" {
		t.Errorf("sense data %q", why)
	}
}

func TestDSenseSelectsDescriptorFormat(t *testing.T) {
	u := newUnit("thin", 512)
	sense := func() byte {
		r, _ := u.Execute(unhex("28 20 00000000 00 0001 00"), [][]byte{stale(512)}, true)
		return r.Sense[0]
	}
	for _, x := range []struct {
		control string
		want    byte
	}{{controlNone, 0x70}, {controlD, 0x72}, {controlSWPd, 0x70}, {controlBoth, 0x72}, {controlNone, 0x70}} {
		selectModes(t, u.Disk, header6+x.control)
		if got := sense(); got != x.want {
			t.Errorf("%s: response code %02x, want %02x", x.control, got, x.want)
		}
	}
	// REQUEST SENSE has its own DESC bit.
	selectModes(t, u.Disk, header6+controlD)
	testExchanges(t, u.Disk, []exchange{
		{name: "REQUEST SENSE", cdb: "03 00 00 00 ff 00", want: "70 00 00 00000000 0a 00000000 0000 00 000000"},
		{name: "REQUEST SENSE DESC", cdb: "03 01 00 00 ff 00", want: "72 00 0000 000000 00"},
	})
}

// Each goroutine selects a page of its own.
func TestConcurrentModeSelectsKeepEachOthersPages(t *testing.T) {
	u := newUnit("thin", 512)
	var wg sync.WaitGroup
	for _, tt := range []struct {
		pages [2]string
		bit   *atomic.Bool
	}{
		{[2]string{cachingOn, cachingOff}, &u.mode.writeThrough},
		{[2]string{controlNone, controlD}, &u.mode.descriptorSense},
	} {
		wg.Go(func() {
			for i := range 20000 {
				selectModes(t, u.Disk, header6+tt.pages[i%2])
				if tt.bit.Load() != (i%2 == 1) {
					t.Errorf("%d: %s was undone", i, tt.pages[i%2])
					return
				}
			}
		})
	}
	wg.Wait()
}
