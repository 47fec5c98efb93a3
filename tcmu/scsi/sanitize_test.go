package scsi

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

const blockErase, overwriteAA = "48 02 0000000000 0000 00", "48 01 0000000000 0005 00"

func TestSanitizeBlockErase(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		u := newUnit("thin", blockSize)
		testExchanges(t, u.Disk, []exchange{{name: "BLOCK ERASE", cdb: blockErase}})
		if len(bytes.Trim(u.bytes, "\x00")) > 0 {
			t.Error("some data is left")
		}
		if n := len(u.calls); n < 2 || !strings.HasPrefix(u.calls[0], "trim") || u.calls[n-1] != "flush 0 at 0" {
			t.Errorf("store calls %q", u.calls)
		}
	}
	u := newUnit("thin", 512)
	testExchanges(t, u.Disk, []exchange{
		{name: "with a parameter list", cdb: "48 02 0000000000 0008 00", out: "0000000000000000", fail: "5/24/00 cdb 7"},
		{name: "ZNR", cdb: "48 42 0000000000 0000 00", fail: "5/24/00 cdb 1.6"},
		{name: "reserved byte", cdb: "48 02 0000000100 0000 00", fail: "5/24/00 cdb 5.0"},
		{name: "CRYPTOGRAPHIC ERASE", cdb: "48 03 0000000000 0000 00", fail: "5/24/00 cdb 1.4"},
		{name: "unknown service action", cdb: "48 04 0000000000 0000 00", fail: "5/24/00 cdb 1.4"},
		{name: "EXIT FAILURE MODE without failure", cdb: "48 1f 0000000000 0000 00"},
		{name: "EXIT FAILURE MODE with a parameter list", cdb: "48 1f 0000000000 0008 00", fail: "5/24/00 cdb 8.3"},
	})
	if len(u.calls) > 0 {
		t.Errorf("store calls %q", u.calls)
	}
}

func TestSanitizeOverwrite(t *testing.T) {
	block := randomBytes(1 << 12)[100:612]
	flip := func(b []byte) []byte {
		b = slices.Clone(b)
		for i := range b {
			b[i] = ^b[i]
		}
		return b
	}
	list := func(first byte, length int, pattern []byte) []byte {
		return append([]byte{first, 0, byte(length >> 8), byte(length)}, pattern...)
	}
	for _, tt := range []struct {
		name   string
		length int // of the parameter list; if zero, that of list
		list   []byte
		with   []byte // contents of each block after that
		passes int
		fail   string
	}{
		{name: "a block", list: list(1, 512, block), with: block, passes: 1},
		{name: "half a block", list: list(1, 256, block[:256]), with: slices.Concat(block[:256], block[:256]), passes: 1},
		{name: "four bytes", list: list(1, 4, block[:4]), with: bytes.Repeat(block[:4], 128), passes: 1},
		{name: "three bytes, of which the last are cut", list: list(1, 3, block[:3]), with: bytes.Repeat(block[:3], 171)[:512], passes: 1},
		{name: "one byte", list: list(1, 1, block[:1]), with: bytes.Repeat(block[:1], 512), passes: 1},
		{name: "three passes", list: list(3, 512, block), with: block, passes: 3},
		{name: "one pass, INVERT", list: list(0x81, 512, block), with: block, passes: 1},
		{name: "two passes, INVERT", list: list(0x82, 512, block), with: flip(block), passes: 2},
		{name: "three passes, INVERT", list: list(0x83, 512, block), with: block, passes: 3},

		{name: "no passes", list: list(0, 512, block), fail: "5/26/00 list 0"},
		{name: "TEST", list: list(0x21, 512, block), fail: "5/26/00 list 0"},
		{name: "no pattern", list: list(1, 0, nil), fail: "5/24/00 cdb 7"},
		{name: "pattern of length zero", list: list(1, 0, block), fail: "5/26/00 list 2"},
		{name: "pattern longer than a block", list: list(1, 513, append(block, 1)), fail: "5/26/00 list 2"},
		{name: "pattern shorter than its length", list: list(1, 512, block[:511]), fail: "5/26/00 list 2"},
		{name: "pattern longer than its length", list: list(1, 511, block), fail: "5/26/00 list 2"},
		{name: "list longer than the data-out", length: 516, list: list(1, 512, block[:100]), fail: "5/1a/00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUnit("writable", 512)
			want := slices.Clone(u.bytes)
			if tt.fail == "" {
				want = bytes.Repeat(tt.with, len(want)/512)
			}
			if tt.length == 0 {
				tt.length = len(tt.list)
			}
			_, why := execute(t, u.Disk, unhex(fmt.Sprintf("48 01 0000000000 %04x 00", tt.length)), split(tt.list, 100)...)
			if why != tt.fail || !bytes.Equal(u.bytes, want) {
				t.Errorf("sense data %q, want %q; right image contents: %v", why, tt.fail, bytes.Equal(u.bytes, want))
			}
			written, flushes := 0, 0
			for _, call := range u.calls {
				var n, off int
				if _, err := fmt.Sscanf(call, "write %d at %d", &n, &off); err == nil {
					written += n
				} else {
					flushes++
				}
			}
			if written != tt.passes<<20 || flushes != tt.passes {
				t.Errorf("%d bytes written and %d flushes", written, flushes)
			}
		})
	}
	testExchanges(t, newUnit("writable", 512).Disk, []exchange{
		{name: "no parameter list", cdb: "48 01 0000000000 0000 00", fail: "5/24/00 cdb 7"},
		{name: "header alone", cdb: "48 01 0000000000 0004 00", out: "01 00 0000", fail: "5/24/00 cdb 7"},
		{name: "ZNR", cdb: "48 41 0000000000 0005 00", out: "01 00 0001 aa", fail: "5/24/00 cdb 1.6"},
	})
}

// A gatedTrimStore blocks each Trim until open is closed.
type gatedTrimStore struct {
	*thinStore
	reached, open chan struct{}
}

func (s *gatedTrimStore) Trim(off, n int64) error {
	s.reached <- struct{}{}
	<-s.open
	return s.thinStore.Trim(off, n)
}

var _ backstores.Trimmer = (*gatedTrimStore)(nil)

func newGatedTrimDisk() (*Disk, *gatedTrimStore) {
	s := &gatedTrimStore{&thinStore{writableStore{memStore{bytes: randomBytes(1 << 20)}}}, make(chan struct{}), make(chan struct{})}
	return NewDisk(s, Options{BlockSize: 512}), s
}

// It makes no difference whether the SANITIZE was completed at its start or
// will be at its end.
func TestOtherCommandsFailDuringSanitize(t *testing.T) {
	for _, tt := range []struct{ name, cdb string }{
		{"completed at its end", blockErase},
		{"completed at its start", "48 82 0000000000 0000 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, s := newGatedTrimDisk()
			done := make(chan byte, 1)
			go func() {
				r, _ := d.Execute(unhex(tt.cdb), nil, true)
				done <- r.Status
			}()
			<-s.reached
			const busy = "2/04/1b progress 0"
			testExchanges(t, d, []exchange{
				{name: "TEST UNIT READY", cdb: "00 00 00 00 00 00", fail: busy},
				{name: "READ(16)", cdb: "88 00 0000000000000000 00000001 00 00", fail: busy},
				{name: "WRITE(10)", cdb: "2a 00 00000000 00 0001 00", fail: busy},
				{name: "READ CAPACITY(10)", cdb: "25 00 00000000 00 00 00 00", fail: busy},
				{name: "COMPARE AND WRITE", cdb: "89 00 0000000000000000 000000 01 00 00", fail: busy},
				{name: "SANITIZE", cdb: blockErase, fail: busy},
				{name: "EXIT FAILURE MODE", cdb: "48 1f 0000000000 0000 00", fail: busy},
				{name: "START STOP UNIT", cdb: "1b 00 00 00 01 00", fail: busy},
				{name: "INQUIRY", cdb: "12 00 00 0005 00", want: "00 00 06 12 5b"},
				{name: "REQUEST SENSE", cdb: "03 00 00 00 12 00", want: "70 00 02 00000000 0a 00000000 041b 00 800000"},
				{name: "REQUEST SENSE DESC", cdb: "03 01 00 00 12 00", want: "72 02 041b 000000 08  02 06 0000 800000 00"},
			})
			for _, row := range d.rows {
				cdb := row.emptyCDB()
				if _, why := execute(t, d, cdb, stale(512)); row.op != 0x12 && row.op != 0x03 && why != busy {
					t.Errorf("%s: sense data %q", row.name, why)
				}
			}
			if r, err := d.Execute(unhex("28 00 00000000 00 0001 00"), [][]byte{stale(512)}, false); err != nil || r.Status != checkCondition {
				t.Errorf("READ(10) that may not wait: %+v, %v", r, err)
			}
			close(s.open)
			if status := <-done; status != 0 {
				t.Errorf("status %02x", status)
			}
			d.sanitizer.background.Wait()
			testExchanges(t, d, []exchange{
				{name: "ready", cdb: "00 00 00 00 00 00"},
				{name: "erased", cdb: "28 00 000007ff 00 0001 00", room: 4, want: "00000000"},
			})
		})
	}
}

// An abort or a reset completes the command at once.
func TestSanitizeContinuesAfterAbort(t *testing.T) {
	for _, reset := range []bool{false, true} {
		d, s := newGatedTrimDisk()
		done := make(chan string, 1)
		go func() {
			_, why := execute(t, d, unhex(blockErase))
			done <- why
		}()
		<-s.reached
		d.TaskManagement(reset)
		if why := <-done; why != "2/04/1b progress 0" {
			t.Errorf("the aborted command: sense data %q", why)
		}
		d.TaskManagement(reset) // no command waits now
		testExchanges(t, d, []exchange{{name: "still running", cdb: isReady, fail: "2/04/1b progress 0"}})
		close(s.open)
		d.sanitizer.background.Wait()
		testExchanges(t, d, []exchange{{name: "erased", cdb: "28 00 000007ff 00 0001 00", room: 4, want: "00000000"}})
	}
}

func TestMediumIsInaccessibleAfterFailedSanitize(t *testing.T) {
	u := newUnit("thin", 512)
	u.fails["trim"] = unix.EIO
	const failed = "3/31/03"
	testExchanges(t, u.Disk, []exchange{
		{name: "BLOCK ERASE", cdb: blockErase, fail: failed},
		{name: "READ(10)", cdb: "28 00 00000000 00 0001 00", fail: failed},
		{name: "WRITE(10)", cdb: "2a 00 00000000 00 0001 00", fail: failed},
		{name: "TEST UNIT READY", cdb: "00 00 00 00 00 00", fail: failed},
		{name: "EXIT FAILURE MODE without AUSE", cdb: "48 1f 0000000000 0000 00", fail: "5/24/00 cdb 1.4"},
		{name: "INQUIRY", cdb: "12 00 00 0005 00", want: "00 00 06 12 5b"},
		{name: "BLOCK ERASE again, AUSE", cdb: "48 22 0000000000 0000 00", fail: failed},
		{name: "READ(10), still failing", cdb: "28 00 00000000 00 0001 00", fail: failed},
		{name: "EXIT FAILURE MODE, IMMED", cdb: "48 9f 0000000000 0000 00"},
		{name: "READ(10) again", cdb: "28 00 00000000 00 0000 00"},
	})
	if len(u.reports) != 2 {
		t.Errorf("reported errors %q", u.reports)
	}
	execute(t, u.Disk, unhex(blockErase))
	delete(u.fails, "trim")
	testExchanges(t, u.Disk, []exchange{
		{name: "BLOCK ERASE succeeds", cdb: blockErase},
		{name: "READ(10)", cdb: "28 00 00000000 00 0000 00"},
	})
}

func TestCloseStopsSanitize(t *testing.T) {
	s := &gatedTrimStore{&thinStore{writableStore{memStore{bytes: make([]byte, 64<<20)}}}, make(chan struct{}), make(chan struct{})}
	d := NewDisk(s, Options{BlockSize: 512})
	if r, _ := d.Execute(unhex("48 82 0000000000 0000 00"), nil, true); r.Status != good {
		t.Fatalf("%+v", r)
	}
	<-s.reached
	d.sanitizer.stop.Store(true) // what Close does first
	close(s.open)
	d.Close()
	trims := len(s.calls)
	if trims != 1 {
		t.Errorf("store calls %q", s.calls)
	}
}

func TestBlockEraseNeedsThinDisk(t *testing.T) {
	for _, variant := range variants {
		support, _, _, _ := listOne(t, newUnit(variant, 512).Disk, 2, 0x48, 0x02)
		thin := variant == "thin" || variant == "removable"
		// Initiators expect a disk with BLOCK ERASE to be thin.
		if (support == 3) != thin && variant != "read-only" {
			t.Errorf("%s: BLOCK ERASE has SUPPORT %d", variant, support)
		}
	}
	if _, why := execute(t, newUnit("read-only", 512).Disk, unhex(overwriteAA), unhex("01 00 0001 aa")); why != "7/27/00" {
		t.Errorf("OVERWRITE of a read-only disk: sense data %q", why)
	}
}
