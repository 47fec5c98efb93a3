package scsi

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

const (
	testSerial = "0123456789abcdef"
	testNAA    = "5001405012345678"
)

// A unit is a disk with its store and the errors that it reported.
type unit struct {
	*Disk
	*memStore
	mu      sync.Mutex
	reports []error
}

// variants are the kinds of disks to test. A removable disk is also thin.
var variants = []string{"thin", "writable", "read-only", "removable"}

// allVariants are those and the units of other types.
var allVariants = append(slices.Clone(variants), "cdrom")

// newUnit returns a disk of 1 MiB.
func newUnit(variant string, blockSize int) *unit { return newSizedUnit(variant, 1<<20, blockSize) }

func newSizedUnit(variant string, size, blockSize int) *unit {
	u := &unit{}
	var store backstores.Backstore
	switch variant {
	case "thin", "removable":
		s := new(thinStore)
		store, u.memStore = s, &s.memStore
	case "writable":
		s := new(writableStore)
		store, u.memStore = s, &s.memStore
	case "read-only", "cdrom":
		s := new(memStore)
		store, u.memStore = s, s
	default:
		panic(variant)
	}
	u.bytes, u.fails = randomBytes(size), map[string]error{}
	u.Disk = NewDisk(store, Options{
		BlockSize: blockSize, Serial: testSerial, NAA: testNAA, Removable: variant == "removable", CDROM: variant == "cdrom",
		Report: func(err error) {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.reports = append(u.reports, err)
		},
	})
	return u
}

// newHugeDisk returns a thin disk of any size.
func newHugeDisk(size int64, blockSize int) (*Disk, hugeStore) {
	v := newHugeStore(size)
	return NewDisk(v, Options{BlockSize: blockSize, Serial: testSerial, NAA: testNAA}), v
}

// unhex decodes hex digits with spaces anywhere.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(fmt.Sprintf("%q: %v", s, err))
	}
	return b
}

// cdbWith decodes a CDB, with n for its one verb, if it has one.
func cdbWith(cdb string, n int) []byte {
	if strings.Contains(cdb, "%") {
		cdb = fmt.Sprintf(cdb, n)
	}
	return unhex(cdb)
}

// stale returns n bytes of 0xAA, the data of an earlier command.
func stale(n int) []byte { return bytes.Repeat([]byte{0xaa}, n) }

// split splits b into pieces of the given sizes, repeated. No piece has
// capacity to grow into the next.
func split(b []byte, sizes ...int) (bufs [][]byte) {
	for i := 0; len(b) > 0; i++ {
		n := min(sizes[i%len(sizes)], len(b))
		bufs = append(bufs, b[:n:n])
		b = b[n:]
	}
	return bufs
}

// execute executes a command that may wait, and checks its result. It returns
// the number of bytes of data-in and the formatted sense data.
func execute(t testing.TB, d *Disk, cdb []byte, bufs ...[]byte) (n int, why string) {
	t.Helper()
	r, err := d.Execute(cdb, slices.Clone(bufs), true)
	if err != nil {
		t.Fatalf("%x: %v, though it may wait", cdb, err)
	}
	return int(r.DataIn), checkResult(t, r, int(total(bufs)))
}

// checkResult checks the consistency of a result. It returns the formatted
// sense data, or "" for GOOD.
func checkResult(t testing.TB, r Result, room int) string {
	t.Helper()
	switch r.Status {
	case 0x00:
		if r.Sense != nil {
			t.Errorf("GOOD with sense data % x", r.Sense)
		}
		if r.DataIn < 0 || int(r.DataIn) > room {
			t.Errorf("%d bytes of data-in in buffers of %d", r.DataIn, room)
		}
		return ""
	case 0x02:
		if r.DataIn != 0 && (r.Sense[2] != mediumError || r.Sense[0] != 0xf0 || int(r.DataIn) > room) {
			t.Errorf("CHECK CONDITION with %d bytes of data-in, sense data % x", r.DataIn, r.Sense)
		}
		return formatSense(t, r.Sense)
	}
	t.Errorf("status %02x", r.Status)
	return "?"
}

// formatSense parses sense data as an initiator does, and checks that reserved
// fields are zero. In "5/24/00 cdb 1.7" a sense key, an additional sense code
// and its qualifier are followed by a field pointer to bit 7 of byte 1 of the
// CDB; "2/04/1b progress 0" has a progress indication.
func formatSense(t testing.TB, b []byte) (s string) {
	t.Helper()
	pointer := func(p []byte) string {
		key := b[2]
		if b[0]&0x02 != 0 {
			key = b[1]
		}
		if key&0x0f == 0x02 {
			if p[0] != 0x80 {
				t.Errorf("reserved bits in % x", b)
			}
			return fmt.Sprintf(" progress %d", binary.BigEndian.Uint16(p[1:]))
		}
		where := "list"
		if p[0]&0x40 != 0 {
			where = "cdb"
		}
		s := fmt.Sprintf(" %s %d", where, binary.BigEndian.Uint16(p[1:]))
		if p[0]&0x08 != 0 {
			s += fmt.Sprintf(".%d", p[0]&7)
		} else if p[0]&7 != 0 {
			t.Errorf("a bit pointer that is not valid: % x", b)
		}
		if p[0]&0x30 != 0 {
			t.Errorf("reserved bits in % x", b)
		}
		return s
	}
	zero := func(p ...byte) {
		t.Helper()
		if len(bytes.Trim(p, "\x00")) != 0 {
			t.Errorf("% x where zeros belong, in sense data % x", p, b)
		}
	}
	if len(b) < 8 || len(b) > 96 || len(b) != 8+int(b[7]) {
		t.Errorf("sense data of %d bytes: % x", len(b), b)
		return "?"
	}
	switch b[0] {
	case 0x70, 0xf0:
		if len(b) != 18 {
			t.Errorf("fixed sense data of %d bytes", len(b))
			return "?"
		}
		s = fmt.Sprintf("%x/%02x/%02x", b[2], b[12], b[13])
		if b[0] == 0xf0 {
			s += fmt.Sprintf(" info %d", binary.BigEndian.Uint32(b[3:]))
		} else {
			zero(b[3:7]...)
		}
		zero(b[1], b[8], b[9], b[10], b[11], b[14])
		if b[15]&0x80 != 0 {
			s += pointer(b[15:])
		} else {
			zero(b[15:]...)
		}
	case 0x72:
		s = fmt.Sprintf("%x/%02x/%02x", b[1], b[2], b[3])
		zero(b[4:7]...)
		for d := b[8:]; len(d) > 0; d = d[2+d[1]:] {
			switch {
			case d[0] == 0x00 && d[1] == 0x0a && d[2] == 0x80:
				s += fmt.Sprintf(" info %d", binary.BigEndian.Uint64(d[4:]))
				zero(d[3])
			case d[0] == 0x02 && d[1] == 0x06 && d[4]&0x80 != 0:
				s += pointer(d[4:])
				zero(d[2], d[3], d[7])
			default:
				t.Errorf("unknown sense data descriptor % x", d)
				return "?"
			}
		}
	default:
		t.Errorf("response code %02x", b[0])
	}
	return s
}

// An exchange is a CDB and its expected result. The buffers hold out, or room
// bytes of 0xAA (4096 if room is zero).
type exchange struct {
	name string
	cdb  string
	out  string
	room int
	want string // data-in, all of it
	fail string // sense data in brief
}

// testExchanges executes commands in order and compares their results.
func testExchanges(t *testing.T, d *Disk, all []exchange) {
	t.Helper()
	for _, x := range all {
		t.Run(x.name, func(t *testing.T) {
			buf := unhex(x.out)
			if x.out == "" {
				buf = stale(cmp.Or(x.room, 4096))
			}
			n, why := execute(t, d, unhex(x.cdb), split(buf, len(buf))...)
			if why != x.fail {
				t.Fatalf("CDB %s: sense data %q, want %q", x.cdb, why, x.fail)
			}
			if got := buf[:n]; !bytes.Equal(got, unhex(x.want)) {
				t.Errorf("CDB %s:\n got %x\nwant %x", x.cdb, got, unhex(x.want))
			}
		})
	}
}

// emptyCDB returns the CDB of a command with all other fields zero.
func (r *row) emptyCDB() []byte {
	cdb := make([]byte, len(r.usage))
	cdb[0] = r.op
	if r.sa != none {
		cdb[1] = byte(r.sa)
	}
	return cdb
}
