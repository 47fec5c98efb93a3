package scsi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// A command that fails by its length, or that of its data, does so: no rule sees it.
func TestCommandsOfWrongLengthFitNoRule(t *testing.T) {
	d, _ := newHugeDisk(1<<40, 512)
	s := fault.NewSet(3)
	for _, text := range []string{"any: busy"} {
		r, _ := fault.Parse(text)
		_ = s.Add(r)
	}
	d.SetFaults(s)
	unmap := func(n int, more string) string {
		return fmt.Sprintf("%04x %04x 00000000", 16*n+6, 16*n) + strings.Repeat("0000000000000000 00000008 00000000", n) + more
	}
	for _, tt := range []struct {
		name, cdb, out string
		room           int // of data-out, if it is not given
		busy           bool
	}{
		{name: "READ of MaxTransfer", cdb: "88 00 0000000000000000 00010000 00 00", busy: true},
		{name: "READ of more", cdb: "88 00 0000000000000000 00010001 00 00"},
		{name: "WRITE", cdb: "2a 00 00000000 00 0002 00", room: 1024, busy: true},
		{name: "WRITE, too little data", cdb: "2a 00 00000000 00 0002 00", room: 1023},
		{name: "WRITE of more than MaxTransfer", cdb: "8a 00 0000000000000000 00010001 00 00", room: 1024},
		{name: "WRITE AND VERIFY, too little data", cdb: "2e 00 00000000 00 0002 00", room: 1023},
		{name: "ORWRITE, too little data", cdb: "8b 00 0000000000000000 00000002 00 00", room: 512},
		{name: "WRITE SAME", cdb: "93 00 0000000000000000 00200000 00 00", room: 512, busy: true},
		{name: "WRITE SAME of more than 1 GiB", cdb: "93 00 0000000000000000 00200001 00 00", room: 512},
		{name: "WRITE SAME of nothing", cdb: "93 00 0000000000000000 00000000 00 00", room: 512},
		{name: "WRITE SAME, too much data", cdb: "93 00 0000000000000000 00000001 00 00", room: 513},
		{name: "WRITE SAME with NDOB", cdb: "93 01 0000000000000000 00000001 00 00", busy: true},
		{name: "COMPARE AND WRITE", cdb: "89 00 0000000000000000 000000 01 00 00", room: 1024, busy: true},
		{name: "COMPARE AND WRITE, half of its data", cdb: "89 00 0000000000000000 000000 01 00 00", room: 512},
		{name: "COMPARE AND WRITE of nothing with data", cdb: "89 00 0000000000000000 000000 00 00 00", room: 512},
		{name: "VERIFY", cdb: "2f 00 00000000 00 0002 00", busy: true},
		{name: "VERIFY, too little to compare", cdb: "2f 02 00000000 00 0002 00", room: 512},
		{name: "VERIFY with reserved BYTCHK", cdb: "2f 04 00000000 00 0002 00", room: 1024},
		{name: "VERIFY with one block", cdb: "2f 06 00000000 00 0002 00", room: 512, busy: true},
		{name: "VERIFY of more than MaxTransfer", cdb: "af 00 00000000 00010001 00 00"},
		{name: "PRE-FETCH of anything", cdb: "90 00 0000000000000000 7fffffff 00 00", busy: true},
		{name: "UNMAP", cdb: "42 00 00000000 00 0408 00", out: unmap(64, ""), busy: true},
		{name: "UNMAP of too many ranges", cdb: "42 00 00000000 00 0418 00", out: unmap(65, "")},
		{name: "UNMAP, the list is cut", cdb: "42 00 00000000 00 0019 00", out: unmap(1, "")},
		{name: "UNMAP, no header", cdb: "42 00 00000000 00 0004 00", out: unmap(1, "")},
		{name: "UNMAP of nothing beyond the end", cdb: "42 00 00000000 00 0018 00", out: "0016 0010 00000000 7fffffffffffffff 00000000 00000000"},
		{name: "UNMAP of too much", cdb: "42 00 00000000 00 0018 00", out: "0016 0010 00000000 0000000000000000 00100001 00000000"},
	} {
		data := unhex(tt.out)
		if tt.out == "" {
			data = make([]byte, tt.room)
		}
		r, _ := anyhow(t, d, unhex(tt.cdb), data)
		if want := map[bool]byte{true: 8, false: checkCondition}[tt.busy]; r.Status != want {
			t.Errorf("%s: %s, want status %#02x", tt.name, Outcome(r.Status, r.Sense), want)
		}
	}
}

// A SANITIZE that was aborted while it was held begins, and completes at once: the
// abort would wait for it.
func TestSanitizeAbortedWhileItWasHeld(t *testing.T) {
	d, store := newGatedTrimDisk()
	s := fault.NewSet(3)
	r, _ := fault.Parse("any: hang")
	_ = s.Add(r)
	d.SetFaults(s)
	_, err := d.Execute(unhex(blockErase), nil, false)
	later, ok := errors.AsType[*Later](err)
	if !ok {
		t.Fatal(err)
	}
	d.TaskManagement(false)
	done := make(chan Result)
	go func() { done <- later.Execute(unhex(blockErase), nil) }()
	<-store.reached
	if result := <-done; Outcome(result.Status, result.Sense) != "NOT READY, LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS (0 % done)" {
		t.Error(Outcome(result.Status, result.Sense))
	}
	close(store.open)
	d.Close()
}

// Descriptors behind the BLOCK DESCRIPTOR DATA LENGTH are none.
func TestUnmapListEndsWhereItSays(t *testing.T) {
	u := newSizedUnit("thin", 1<<20, 512)
	u.suffer(t, "unmap lba 1000: lost")
	u.calls = nil
	list := unhex("0026 0010 00000000 00000000000003e8 00000008 00000000 ffffffffffff0000 00000008 00000000")
	if r, _ := anyhow(t, u.Disk, unhex("42 00 00000000 00 0028 00"), list); r.Status != good || len(u.calls) > 0 {
		t.Errorf("%s, calls %s", Outcome(r.Status, r.Sense), u.calls)
	}
}

// Whatever accesses the medium either fails with ILLEGAL REQUEST, or fits a rule.
func FuzzFaultsFitWhatSucceeds(f *testing.F) {
	for _, tt := range misbehaviour {
		f.Add(unhex(tt.cdb), make([]byte, tt.out+tt.in))
	}
	for _, r := range rows(commands, writable|thin) {
		f.Add(r.emptyCDB(), make([]byte, 512))
	}
	f.Fuzz(func(t *testing.T, cdb, data []byte) {
		if len(cdb) == 0 || len(cdb) > 32 || len(data) > 1<<17 || kindOf(cdb[0]) == 0 {
			return
		}
		plain, bad := newSizedUnit("thin", 1<<20, 512), newSizedUnit("thin", 1<<20, 512)
		bad.suffer(t, "any: busy")
		want, _ := anyhow(t, plain.Disk, cdb, split(slices.Clone(data), 700)...)
		got, _ := anyhow(t, bad.Disk, cdb, split(slices.Clone(data), 700)...)
		refused := want.Status == checkCondition && want.Sense[2]&15 == illegalRequest
		if refused != (got.Status != 0x08) || refused && Outcome(got.Status, got.Sense) != Outcome(want.Status, want.Sense) {
			t.Errorf("%x: %s, with a rule %s", cdb, Outcome(want.Status, want.Sense), Outcome(got.Status, got.Sense))
		}
	})
}
