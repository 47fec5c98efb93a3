package scsi

import (
	"strings"
	"testing"
)

func TestOptionsAreWhatInitiatorsSee(t *testing.T) {
	u := newUnit("thin", 512)
	d := NewDisk(u.Disk.store, Options{
		BlockSize: 512, Serial: "S 1", NAA: "6001405000000000000000000000000a",
		Vendor: "ACME", Product: "Test Disk", Revision: "2.1", Rotational: true, WriteThrough: true, PhysicalBlock: 512,
	})
	if got := string(dataIn(t, d, "12 00 00 0100 00")[8:36]); got != "ACME    Test Disk       2.1 " {
		t.Errorf("standard INQUIRY data has %q", got)
	}
	if got := string(dataIn(t, d, "12 01 80 0100 00")[4:]); got != "S 1" {
		t.Errorf("the serial number is %q", got)
	}
	ids := string(dataIn(t, d, "12 01 83 0100 00"))
	for _, id := range []string{string(unhex("6001405000000000000000000000000a")), "ACME    Test Disk       S 1", "naa.6001405000000000000000000000000a\x00"} {
		if !strings.Contains(ids, id) {
			t.Errorf("%q is no designator of %q", id, ids)
		}
	}
	testExchanges(t, d, []exchange{
		{name: "no volatile cache", cdb: "12 01 86 0007 00", want: "00 86 003c 00 01 00"},
		{name: "7200 rpm", cdb: "12 01 b1 0006 00", want: "00 b1 003c 1c20"},
		{name: "OPTIMAL TRANSFER LENGTH GRANULARITY", cdb: "12 01 b0 0008 00", want: "00 b0 003c 01 ff 0001"},
		{name: "WCE is zero", cdb: "1a 08 08 00 ff 00", want: "17 00 10 00 08 12 00 00 0000 0000 0000 0000 00 00 0000 00 000000"},
		{name: "WCE cannot be changed", cdb: "1a 08 48 00 ff 00", want: "17 00 10 00 08 12 00 00 0000 0000 0000 0000 00 00 0000 00 000000"},
		{name: "WCE is refused", cdb: "15 10 00 00 18 00", out: "00 00 00 00 08 12 04 00 0000 0000 0000 0000 00 00 0000 00 000000", fail: "5/26/00 list 6"},
	})
	if b := dataIn(t, d, "9e 10 0000000000000000 00000020 00 00"); b[13] != 0 {
		t.Errorf("LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT is %d", b[13])
	}
}

func TestWritesAreDurableWithoutACache(t *testing.T) {
	u := newUnit("thin", 512)
	o := u.Disk.Options
	o.WriteThrough = true
	d := NewDisk(u.Disk.store, o)
	d.Restore(State{WriteThrough: true})
	u.calls = nil
	if _, why := execute(t, d, unhex("2a 00 00000000 00 0001 00"), make([]byte, 512)); why != "" {
		t.Fatal(why)
	}
	if calls := strings.Join(u.calls, ", "); !strings.HasSuffix(calls, " durable") {
		t.Errorf("WRITE (10) led to %q", calls)
	}
}
