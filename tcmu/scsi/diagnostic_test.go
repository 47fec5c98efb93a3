package scsi

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDiagnostics(t *testing.T) {
	u := newUnit("read-only", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "RECEIVE DIAGNOSTIC RESULTS", cdb: "1c 01 00 00ff 00", want: "00 00 0001 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS without PCV", cdb: "1c 00 00 00ff 00", want: "00 00 0001 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS truncated", cdb: "1c 01 00 0003 00", want: "00 00 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS allocation length 0", cdb: "1c 01 00 0000 00"},
		{name: "RECEIVE DIAGNOSTIC RESULTS, unknown page", cdb: "1c 01 40 00ff 00", fail: "5/24/00 cdb 2"},
		{name: "SEND DIAGNOSTIC of no pages", cdb: "1d 00 00 0000 00"},
		{name: "SEND DIAGNOSTIC PF", cdb: "1d 10 00 0000 00"},
		{name: "SEND DIAGNOSTIC of a page", cdb: "1d 10 00 0004 00", out: "00000000", fail: "5/24/00 cdb 3"},
		{name: "SEND DIAGNOSTIC SELF-TEST CODE", cdb: "1d 20 00 0000 00", fail: "5/24/00 cdb 1.5"},
	})
	if len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
	for _, cdb := range []string{"1d 04 00 0000 00", "1d 07 00 0000 00"} {
		u := newUnit("read-only", 512)
		if _, err := u.Execute(unhex(cdb), nil, false); err == nil {
			t.Errorf("%s: completed without waiting", cdb)
		}
		if _, why := execute(t, u.Disk, unhex(cdb)); why != "" || len(u.calls) == 0 || !strings.HasPrefix(u.calls[0], "read") {
			t.Errorf("%s: sense data %q; store calls %q", cdb, why, u.calls)
		}
		u.fails["read"] = unix.EIO
		if _, why := execute(t, u.Disk, unhex(cdb)); why == "" || len(u.reports) != 1 {
			t.Errorf("%s with a failing store: sense data %q, reports %q", cdb, why, u.reports)
		}
	}
}
