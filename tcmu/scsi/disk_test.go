package scsi

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestUnknownCommandsFail(t *testing.T) {
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "no CDB", cdb: "", fail: "5/20/00"},
		{name: "vendor specific", cdb: "c1 00 00000000 00 0000 00", fail: "5/20/00"},
		{name: "FORMAT UNIT", cdb: "04 00 00 00 00 00", fail: "5/20/00"},
		{name: "READ(32)", cdb: "7f 00 00000000 00 18 0009 00000000 0000000000000000 0000000000000000 00000001", fail: "5/20/00"},
		{name: "unknown opcode alone", cdb: "ff", fail: "5/20/00"},
		{name: "unknown service action of SERVICE ACTION IN(16)", cdb: "9e 1f 0000000000000000 00000020 00 00", fail: "5/24/00 cdb 1.4"},
		{name: "unknown service action of MAINTENANCE IN", cdb: "a3 00 00 00 0000 00000020 00 00", fail: "5/24/00 cdb 1.4"},
		{name: "opcode with service actions alone", cdb: "9e", fail: "5/24/00 cdb 1.4"},
	})
}

func TestCommandsWithoutTheirAbilityAreUnknown(t *testing.T) {
	unmap := exchange{name: "UNMAP", cdb: "42 00 00000000 00 0000 00", fail: "5/20/00"}
	prevent := exchange{name: "PREVENT ALLOW MEDIUM REMOVAL", cdb: "1e 00 00 00 01 00", fail: "5/20/00"}
	testExchanges(t, newUnit("writable", 512).Disk, []exchange{unmap, prevent})
	testExchanges(t, newUnit("read-only", 512).Disk, []exchange{unmap, prevent})
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{prevent})
}

func TestTruncatedCDBsFail(t *testing.T) {
	for _, variant := range allVariants {
		u := newUnit(variant, 512)
		before := slices.Clone(u.bytes)
		for _, row := range u.rows {
			cdb := row.emptyCDB()
			for n := 1; n < len(cdb); n++ {
				if _, why := execute(t, u.Disk, cdb[:n:n], stale(512)); !strings.HasPrefix(why, "5/24/00") {
					t.Errorf("%s truncated to %d bytes: %q", row.name, n, why)
				}
			}
		}
		if !bytes.Equal(before, u.bytes) || len(u.calls) > 0 {
			t.Errorf("%s: store calls %q", variant, u.calls)
		}
	}
}

func TestPaddingAfterCDBIsIgnored(t *testing.T) {
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "TEST UNIT READY", cdb: "00 00 00 00 00 00 ffffffffffffffffffff"},
		{name: "READ CAPACITY(10)", cdb: "25 00 00000000 00 00 00 00 ffffffffffff", want: "000007ff 00000200"},
		{name: "MODE SENSE(6)", cdb: "1a 08 3f 00 04 00 00000000", want: "23 00 10 00"},
		{name: "READ(6)", cdb: "08 00 0000 01 00 ffffffff", room: 2, want: hex.EncodeToString(randomBytes(2))},
		{name: "READ(10)", cdb: "28 00 00000000 00 0001 00 ffffffffffff", room: 2, want: hex.EncodeToString(randomBytes(2))},
		{name: "READ(12)", cdb: "a8 00 00000000 00000001 00 00 ffffffff", room: 2, want: hex.EncodeToString(randomBytes(2))},
	})
}

func TestStoppedDiskRefusesMediumCommands(t *testing.T) {
	u := newUnit("thin", 512)
	before := slices.Clone(u.bytes)
	const stopped = "2/04/02"
	testExchanges(t, u.Disk, []exchange{
		{name: "ready", cdb: "00 00 00 00 00 00"},
		{name: "START STOP UNIT: stop", cdb: "1b 00 00 00 00 00"},
	})
	if !slices.Equal(u.calls, []string{"flush 0 at 0"}) {
		t.Errorf("store calls of stop: %q, want one flush", u.calls)
	}
	testExchanges(t, u.Disk, []exchange{
		{name: "TEST UNIT READY", cdb: "00 00 00 00 00 00", fail: stopped},
		{name: "READ(6)", cdb: "08 00 0000 01 00", fail: stopped},
		{name: "READ(10)", cdb: "28 00 00000000 00 0001 00", fail: stopped},
		{name: "READ(12)", cdb: "a8 00 00000000 00000001 00 00", fail: stopped},
		{name: "READ(16)", cdb: "88 00 0000000000000000 00000001 00 00", fail: stopped},
		{name: "WRITE(10)", cdb: "2a 00 00000000 00 0001 00", fail: stopped},
		{name: "VERIFY(10)", cdb: "2f 00 00000000 00 0001 00", fail: stopped},
		{name: "UNMAP", cdb: "42 00 00000000 00 0000 00", fail: stopped},
		{name: "WRITE SAME(16)", cdb: "93 00 0000000000000000 00000001 00 00", fail: stopped},
		{name: "READ CAPACITY(10)", cdb: "25 00 00000000 00 00 00 00", fail: stopped},
		{name: "READ CAPACITY(16)", cdb: "9e 10 0000000000000000 00000020 00 00", fail: stopped},
		{name: "INQUIRY succeeds", cdb: "12 00 00 0005 00", want: "00 00 06 12 5b"},
		{name: "a bad CDB fails as such", cdb: "28 20 00000000 00 0001 00", fail: "5/24/00 cdb 1.5"},
		{name: "REQUEST SENSE", cdb: "03 00 00 00 12 00", want: "70 00 02 00000000 0a 00000000 0402 00 000000"},
		{name: "REQUEST SENSE DESC", cdb: "03 01 00 00 12 00", want: "72 02 0402 000000 00"},
		{name: "START STOP UNIT: start", cdb: "1b 00 00 00 01 00"},
		{name: "TEST UNIT READY again", cdb: "00 00 00 00 00 00"},
		{name: "READ(10) again", cdb: "28 00 00000000 00 0000 00"},
	})
	if !bytes.Equal(before, u.bytes) {
		t.Error("the image has changed")
	}
}

func TestStartStopUnit(t *testing.T) {
	u := newUnit("thin", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "start while started", cdb: "1b 00 00 00 01 00"},
		{name: "LOEJ", cdb: "1b 00 00 00 02 00", fail: "5/24/00 cdb 4.1"},
		{name: "LOEJ and START", cdb: "1b 00 00 00 03 00", fail: "5/24/00 cdb 4.1"},
		{name: "POWER CONDITION", cdb: "1b 00 00 00 10 00", fail: "5/24/00 cdb 4.7"},
		{name: "POWER CONDITION and START", cdb: "1b 00 00 00 b1 00", fail: "5/24/00 cdb 4.7"},
		{name: "still started", cdb: "00 00 00 00 00 00"},
	})
	if len(u.calls) > 0 {
		t.Errorf("store calls of start: %q", u.calls)
	}
	testExchanges(t, u.Disk, []exchange{
		{name: "IMMED, NO_FLUSH: stop", cdb: "1b 01 00 00 04 00"},
		{name: "stopped", cdb: "00 00 00 00 00 00", fail: "2/04/02"},
	})
	if len(u.calls) > 0 {
		t.Errorf("store calls of stop with NO_FLUSH: %q", u.calls)
	}
}

func TestRequestSense(t *testing.T) {
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "fixed", cdb: "03 00 00 00 ff 00", want: "70 00 00 00000000 0a 00000000 0000 00 000000"},
		{name: "descriptor", cdb: "03 01 00 00 ff 00", want: "72 00 0000 000000 00"},
		{name: "truncated", cdb: "03 00 00 00 04 00", want: "70 00 00 00"},
		{name: "no allocation length", cdb: "03 00 00 00 00 00"},
	})
}

func TestDescriptorSenseData(t *testing.T) {
	u := newUnit("thin", 512)
	u.mode.descriptorSense.Store(true)
	r, _ := u.Execute(unhex("28 20 00000000 00 0001 00"), [][]byte{stale(512)}, true)
	if want := unhex("72 05 2400 000000 08  02 06 0000 cd 0001 00"); !bytes.Equal(r.Sense, want) {
		t.Errorf("got % x, want % x", r.Sense, want)
	}
	r, _ = u.Execute(unhex("88 00 ffffffffffffffff 00000001 00 00"), [][]byte{stale(512)}, true)
	if want := unhex("72 05 2100 000000 0c  00 0a 80 00 ffffffffffffffff"); !bytes.Equal(r.Sense, want) {
		t.Errorf("got % x, want % x", r.Sense, want)
	}
}

// writes are commands that write to the medium.
var writes = []exchange{
	{name: "WRITE(6)", cdb: "0a 00 0000 01 00"},
	{name: "WRITE(10)", cdb: "2a 00 00000000 00 0001 00"},
	{name: "WRITE(12)", cdb: "aa 00 00000000 00000001 00 00"},
	{name: "WRITE(16)", cdb: "8a 00 0000000000000000 00000001 00 00"},
	{name: "WRITE(12) zero blocks", cdb: "aa 00 00000000 00000000 00 00"},
	{name: "WRITE(10) zero blocks", cdb: "2a 00 00000000 00 0000 00"},
	{name: "WRITE(10) past the end", cdb: "2a 00 ffffffff 00 0001 00"},
}

func TestReadOnlyDiskRefusesWrites(t *testing.T) {
	for _, wait := range []bool{false, true} {
		u := newUnit("read-only", 512)
		before := slices.Clone(u.bytes)
		for _, x := range writes {
			r, err := u.Execute(unhex(x.cdb), [][]byte{stale(512)}, wait)
			if err != nil {
				t.Errorf("%s: %v", x.name, err)
			} else if why := checkResult(t, r, 512); why != "7/27/00" {
				t.Errorf("%s: sense data %q, want DATA PROTECT, WRITE PROTECTED", x.name, why)
			}
		}
		if !bytes.Equal(before, u.bytes) || len(u.calls) > 0 {
			t.Errorf("store calls %q", u.calls)
		}
		if s := u.Stats(); s != (Stats{}) {
			t.Errorf("failed commands are counted: %+v", s)
		}
	}
}

func TestReadOnlyDiskIsReadable(t *testing.T) {
	u := newUnit("read-only", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "READ(10)", cdb: "28 00 00000005 00 0001 00", want: hex.EncodeToString(u.bytes[5*512 : 6*512])},
		{name: "READ(10) FUA", cdb: "28 08 00000005 00 0001 00", want: hex.EncodeToString(u.bytes[5*512 : 6*512])},
		{name: "VERIFY(10)", cdb: "2f 00 00000000 00 0800 00"},
		{name: "SYNCHRONIZE CACHE(10)", cdb: "35 00 00000000 00 0000 00"},
		{name: "START STOP UNIT", cdb: "1b 00 00 00 00 00"},
	})
}

// A command counts once, whatever the number of its parts.
func TestStatsCountSuccessfulCommands(t *testing.T) {
	for _, tt := range []struct {
		name, cdb, out string
		fails          string
		want           Stats
	}{
		{name: "READ(10)", cdb: "28 00 00000000 00 0002 00", want: Stats{Reads: 1, ReadBytes: 1024}},
		{name: "READ(10) failed", cdb: "28 00 00000000 00 0002 00", fails: "read"},
		{name: "READ(10) refused", cdb: "28 00 00001000 00 0002 00"},
		{name: "WRITE(10)", cdb: "2a 00 00000000 00 0002 00", want: Stats{Writes: 1, WrittenBytes: 1024}},
		{name: "WRITE(10) failed", cdb: "2a 00 00000000 00 0002 00", fails: "write"},
		{name: "SYNCHRONIZE CACHE(10)", cdb: "35 00 00000000 00 0000 00", want: Stats{Flushes: 1}},
		{name: "SYNCHRONIZE CACHE(10) failed", cdb: "35 00 00000000 00 0000 00", fails: "flush"},
		{name: "UNMAP of two ranges", cdb: "42 00 00000000 00 0028 00",
			out:  "0026 0020 00000000  0000000000000000 00000008 00000000  0000000000000010 00000008 00000000",
			want: Stats{Trims: 1}},
		{name: "UNMAP failed", cdb: "42 00 00000000 00 0018 00", fails: "trim",
			out: "0016 0010 00000000  0000000000000000 00000008 00000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnit("thin", 512)
			if tt.fails != "" {
				u.fails[tt.fails] = errPast
			}
			buf := unhex(tt.out)
			if tt.out == "" {
				buf = stale(1024)
			}
			execute(t, u.Disk, unhex(tt.cdb), buf)
			if got := u.Stats(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
