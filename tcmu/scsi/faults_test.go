package scsi

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// suffer gives the disk rules.
func (u *unit) suffer(t testing.TB, rules ...string) *fault.Set {
	t.Helper()
	s := fault.NewSet(3)
	for _, text := range rules {
		r, err := fault.Parse(text)
		if err == nil {
			err = s.Add(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	u.SetFaults(s)
	return s
}

// anyhow executes a command as the ring does. It returns the result, and how long the
// command would have been held.
func anyhow(t testing.TB, d *Disk, cdb []byte, bufs ...[]byte) (r Result, held time.Duration) {
	t.Helper()
	r, err := d.Execute(cdb, bufs, false)
	if later, ok := errors.AsType[*Later](err); ok {
		return later.Execute(cdb, bufs), later.After
	}
	if err != nil {
		if r, err = d.Execute(cdb, bufs, true); err != nil {
			t.Fatalf("%x: %v, though it may wait", cdb, err)
		}
	}
	return r, 0
}

// Each row is one command on a disk of 2048 blocks with one rule. The buffers hold out
// bytes of data, or room for in bytes.
var misbehaviour = []struct {
	rule, cdb string
	out, in   int
	want      string // the outcome
	dataIn    int    // bytes
	calls     string // of the store
}{
	{"read lba 1000+8: medium", "28 00 00000384 00 0064 00", 0, 100 * 512, "good", 100 * 512, "[read 51200 at 460800]"},
	{"read lba 1000+8: medium", "28 00 000003e8 00 0001 00", 0, 512, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1000)", 0, "[]"},
	{"read lba 1000+8: medium", "28 00 000003e6 00 0004 00", 0, 4 * 512, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1000)", 2 * 512, "[read 1024 at 510976]"},
	{"read lba 1000+8: medium", "88 00 00000000000003e9 00000001 00 00", 0, 512, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1001)", 0, "[]"},
	{"read lba 1000+8: medium", "a8 00 000003e7 00000003 00 00", 0, 3 * 512, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1000)", 512, "[read 512 at 511488]"},
	{"read lba 200+8: medium", "08 00 00 00 00 00", 0, 256 * 512, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 200)", 200 * 512, "[read 102400 at 0]"},
	{"read lba 1000+8: medium", "2f 00 000003e0 00 0010 00", 0, 0, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1000)", 0, "[read 4096 at 507904]"},
	{"read lba 1000+8: medium", "34 00 000003e8 00 0001 00", 0, 0, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1000)", 0, "[]"},
	{"read lba 1000+8: medium", "89 00 00000000000003e7 000000 02 00 00", 2048, 0, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1000)", 0, "[]"},
	{"write lba 1000+8: medium", "89 00 00000000000003e7 000000 02 00 00", 2048, 0, "MEDIUM ERROR, WRITE ERROR (lba 1000)", 0, "[]"},
	{"read lba 1000+8: medium", "8b 00 00000000000003e8 00000001 00 00", 512, 0, "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 1000)", 0, "[]"},
	{"read lba 1000+8: medium", "2a 00 000003e8 00 0001 00", 512, 0, "good", 0, "[write 512 at 512000]"},
	{"write: medium", "2a 00 000003e8 00 0002 00", 1024, 0, "MEDIUM ERROR, WRITE ERROR (lba 1000)", 0, "[]"},
	{"write lba 1001: medium", "2a 00 000003e8 00 0003 00", 1536, 0, "MEDIUM ERROR, WRITE ERROR (lba 1001)", 0, "[write 512 at 512000]"},
	{"write lba 1001: medium", "93 00 00000000000003e8 00000003 00 00", 512, 0, "MEDIUM ERROR, WRITE ERROR (lba 1001)", 0, "[write 512 at 512000]"},
	{"any: medium", "2a 00 000003e8 00 0002 00", 1024, 0, "MEDIUM ERROR, WRITE ERROR (lba 1000)", 0, "[]"},
	{"any: medium", "12 00 0000 24 00", 0, 36, "good", 36, "[]"},
	{"flush: medium", "35 00 00000000 00 0000 00", 0, 0, "MEDIUM ERROR, WRITE ERROR", 0, "[]"},
	{"unmap: unsupported", "42 00 00000000 00 0018 00", 24, 0, "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE", 0, "[]"},
	{"unmap: unsupported", "42 00 00000000 00 0000 00", 0, 0, "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE", 0, "[]"},
	{"any: busy", "28 00 000003e8 00 0001 00", 0, 512, "BUSY", 0, "[]"},
	{"any: task-set-full", "2a 00 000003e8 00 0001 00", 512, 0, "TASK SET FULL", 0, "[]"},
	{"any: reservation", "00 00 00 00 00 00", 0, 0, "RESERVATION CONFLICT", 0, "[]"},
	{"any: reservation", "12 00 0000 24 00", 0, 36, "good", 36, "[]"},
	{"any: ua", "00 00 00 00 00 00", 0, 0, "UNIT ATTENTION, POWER ON, RESET, OR BUS DEVICE RESET OCCURRED", 0, "[]"},
	{"any: ua", "03 00 0000 12 00", 0, 18, "good", 18, "[]"},
	{"read: aborted", "28 00 000003e8 00 0001 00", 0, 512, "ABORTED COMMAND", 0, "[]"},
	{"read: transport", "28 00 000003e8 00 0001 00", 0, 512, "ABORTED COMMAND, ACK/NAK TIMEOUT", 0, "[]"},
	{"flush: lost", "35 00 00000000 00 0000 00", 0, 0, "good", 0, "[]"},
	{"flush: lost", "91 00 0000000000000000 00000000 00 00", 0, 0, "good", 0, "[]"},
	{"write: lost", "2a 08 000003e8 00 0001 00", 512, 0, "good", 0, "[]"},
	{"unmap: lost", "42 00 00000000 00 0018 00", 24, 0, "good", 0, "[]"},
	{"write: torn 1", "2a 00 000003e8 00 0003 00", 1536, 0, "good", 0, "[write 512 at 512000]"},
	{"write: torn 2", "8a 08 00000000000003e8 00000003 00 00", 1536, 0, "good", 0, "[write 1024 at 512000 durable]"},
	{"write: torn 3", "2a 00 000003e8 00 0003 00", 1536, 0, "good", 0, "[write 1536 at 512000]"},
	{"write: torn 1", "0a 00 03e8 02 00", 1024, 0, "good", 0, "[write 512 at 512000]"},

	// A command that fails by itself says why.
	{"read: medium", "28 00 00000800 00 0001 00", 0, 512, "ILLEGAL REQUEST, LOGICAL BLOCK ADDRESS OUT OF RANGE (lba 2048)", 0, "[]"},
	{"any: busy", "28 20 00000000 00 0001 00", 0, 512, "ILLEGAL REQUEST, INVALID FIELD IN CDB (byte 1, bit 5)", 0, "[]"},
	{"any: busy", "c1 00 00 00 00 00", 0, 0, "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE", 0, "[]"},
	{"any: busy", "42 00 00000000 00 0018 00", 25, 0, "ILLEGAL REQUEST, LOGICAL BLOCK ADDRESS OUT OF RANGE (lba 67108864)", 0, "[]"},
	{"read: medium", "28 00 00000000 00 0000 00", 0, 0, "good", 0, "[]"}, // touches no block
}

func TestFaultsAreExact(t *testing.T) {
	for _, tt := range misbehaviour {
		u := newSizedUnit("thin", 1<<20, 512)
		u.suffer(t, tt.rule)
		u.calls = nil
		buf := append(randomBytes(tt.out), stale(tt.in)...)
		if unhex(tt.cdb)[0] == 0x42 && tt.out > 0 { // UNMAP of 8 blocks
			copy(buf, unhex("0016 0010 00000000 00000000000003e8 00000008 00000000"))
			if tt.out == 25 { // out of range
				copy(buf[8:], unhex("0000000004000000"))
				buf = buf[:24]
			}
		}
		r, _ := anyhow(t, u.Disk, unhex(tt.cdb), split(buf, 300)...)
		if got := Outcome(r.Status, r.Sense); got != tt.want || int(r.DataIn) != tt.dataIn {
			t.Errorf("%s, CDB %s: %s with %d bytes, want %s with %d", tt.rule, tt.cdb, got, r.DataIn, tt.want, tt.dataIn)
		}
		if got := withoutNoWait(u.calls); got != tt.calls {
			t.Errorf("%s, CDB %s: calls %s, want %s", tt.rule, tt.cdb, got, tt.calls)
		}
		if r.Status != checkCondition && r.DataIn == 0 && tt.in > 0 && bytes.Contains(buf, stale(8)) {
			t.Errorf("%s, CDB %s: data of other commands is returned", tt.rule, tt.cdb)
		}
		if len(u.reports) > 0 {
			t.Errorf("%s: reported are %v", tt.rule, u.reports)
		}
	}
}

// withoutNoWait returns the calls of a store as if all might wait.
func withoutNoWait(calls []string) string {
	return strings.ReplaceAll(fmt.Sprint(calls), " nowait", "")
}

// The bytes are those that sg_decode_sense reads.
func TestSenseBytesOfFaults(t *testing.T) {
	for _, tt := range []struct{ rule, cdb, fixed, descriptor string }{
		{"read lba 1000+8: medium", "28 00 000003e6 00 0004 00",
			"f0 00 03 000003e8 0a 00000000 1100 00 000000", "72 03 11 00 00 00 00 0c 00 0a 80 00 00000000000003e8"},
		{"write: medium", "2a 00 000003e6 00 0001 00",
			"f0 00 03 000003e6 0a 00000000 0c00 00 000000", "72 03 0c 00 00 00 00 0c 00 0a 80 00 00000000000003e6"},
		{"any: unsupported", "00 00 00 00 00 00", "70 00 05 00000000 0a 00000000 2000 00 000000", "72 05 20 00 00 00 00 00"},
		{"any: ua", "00 00 00 00 00 00", "70 00 06 00000000 0a 00000000 2900 00 000000", "72 06 29 00 00 00 00 00"},
		{"any: aborted", "00 00 00 00 00 00", "70 00 0b 00000000 0a 00000000 0000 00 000000", "72 0b 00 00 00 00 00 00"},
		{"any: transport", "00 00 00 00 00 00", "70 00 0b 00000000 0a 00000000 4b03 00 000000", "72 0b 4b 03 00 00 00 00"},
	} {
		for _, want := range []string{tt.fixed, tt.descriptor} {
			u := newSizedUnit("thin", 1<<20, 512)
			u.mode.descriptorSense.Store(want == tt.descriptor)
			u.suffer(t, tt.rule)
			r, _ := anyhow(t, u.Disk, unhex(tt.cdb), stale(2048))
			if !bytes.Equal(r.Sense, unhex(want)) {
				t.Errorf("%s: % x, want %s", tt.rule, r.Sense, want)
			}
		}
	}
}

func TestBadBlocksAreGoodOnceTheyAreWritten(t *testing.T) {
	for _, mend := range []string{
		"2a 00 000003e8 00 0001 00", "8a 00 00000000000003e8 00000001 00 00", "41 00 000003e8 00 0001 00",
		"2e 00 000003e8 00 0001 00", "42 00 00000000 00 0018 00",
	} {
		u := newSizedUnit("thin", 1<<20, 512)
		u.suffer(t, "read lba 1000+2: medium")
		read := func(lba int) string {
			r, _ := anyhow(t, u.Disk, cdbWith("28 00 %08x 00 0001 00", lba), stale(512))
			return Outcome(r.Status, r.Sense)
		}
		if got := read(1000); got == "good" {
			t.Errorf("%s", got)
		}
		data := make([]byte, 512)
		if unhex(mend)[0] == 0x42 {
			data = unhex("0016 0010 00000000 00000000000003e8 00000001 00000000")
		}
		if r, _ := anyhow(t, u.Disk, unhex(mend), data); r.Status != good {
			t.Errorf("CDB %s: %s", mend, Outcome(r.Status, r.Sense))
		}
		if first, second := read(1000), read(1001); first != "good" || second == "good" {
			t.Errorf("after CDB %s: %s, and its neighbour %s", mend, first, second)
		}
	}
	// A write that fails mends nothing.
	u := newSizedUnit("thin", 1<<20, 512)
	u.fails["write"] = errors.New("I/O error")
	u.suffer(t, "read lba 1000+2: medium")
	anyhow(t, u.Disk, unhex("2a 00 000003e8 00 0001 00"), stale(512))
	if r, _ := anyhow(t, u.Disk, unhex("28 00 000003e8 00 0001 00"), stale(512)); r.Status == good {
		t.Error("a failed write mended a block")
	}
}

// One bit is wrong in each block, always the same one.
func TestFlip(t *testing.T) {
	for _, size := range []int{512, 4096} {
		u := newSizedUnit("thin", 1<<20, size)
		u.busy = true
		want := slices.Clone(u.bytes)
		u.suffer(t, "any lba 50+2: flip")
		var first []byte
		for _, from := range []int{48, 50} {
			buf := stale(6 * size)
			r, _ := anyhow(t, u.Disk, cdbWith("28 00 %08x 00 0006 00", from), split(buf, 300)...)
			if r.Status != good || int(r.DataIn) != len(buf) {
				t.Fatalf("%+v", r)
			}
			for i := range 6 {
				n := flipped(buf[i*size:][:size], want[(from+i)*size:])
				if bad := from+i == 50 || from+i == 51; bad != (n == 1) || n > 1 {
					t.Errorf("block %d: %d bits are wrong", from+i, n)
				}
			}
			got := buf[(50-from)*size:][:2*size]
			if first != nil && !bytes.Equal(got, first) {
				t.Error("other bits are wrong than before")
			}
			first = got
		}
		if !bytes.Equal(u.bytes, want) {
			t.Error("a read changed the store")
		}
		// On the way to the medium.
		anyhow(t, u.Disk, unhex("2a 00 00000031 00 0002 00"), split(slices.Clone(want[49*size:][:2*size]), 300)...)
		if n := flipped(u.bytes, want); n != 1 {
			t.Errorf("%d bits are wrong after a write", n)
		}
	}
}

// flipped counts the bits in which a differs from b.
func flipped(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// A held command is executed in the end, once.
func TestHeldCommands(t *testing.T) {
	u := newSizedUnit("thin", 1<<20, 512)
	s := u.suffer(t, "read: delay 20ms..30ms", "write: hang")
	if r, held := anyhow(t, u.Disk, unhex("28 00 000003e8 00 0001 00"), stale(512)); held < 20*time.Millisecond || held > 30*time.Millisecond || r.DataIn != 512 {
		t.Errorf("held for %v, then %+v", held, r)
	}
	_, err := u.Execute(unhex("2a 00 000003e8 00 0001 00"), [][]byte{stale(512)}, false)
	later, ok := errors.AsType[*Later](err)
	if !ok || bytes.Equal(u.bytes[512000:][:512], stale(512)) {
		t.Fatalf("%v", err)
	}
	s.Clear()
	<-later.Release
	if r := later.Execute(unhex("2a 00 000003e8 00 0001 00"), [][]byte{stale(512)}); r.Status != good || !bytes.Equal(u.bytes[512000:][:512], stale(512)) {
		t.Errorf("%+v", r)
	}
	// One that began before there were rules, and waits for the store, is not held: it
	// would keep a worker.
	u.suffer(t, "any: hang")
	if r, err := u.Execute(unhex("2a 00 00000000 00 0001 00"), [][]byte{stale(512)}, true); err != nil || r.Status != good {
		t.Errorf("%+v, %v", r, err)
	}
}

// Of a rule about many blocks only those count of which there is data.
func TestFlipTakesTheTimeOfItsData(t *testing.T) {
	d := NewDisk(newHugeStore(1<<41), Options{BlockSize: 512, Serial: testSerial, NAA: testNAA})
	rule, err := fault.Parse("any lba 0+4294967295: flip")
	f := fault.NewSet(1)
	if err := errors.Join(err, f.Add(rule)); err != nil {
		t.Fatal(err)
	}
	d.SetFaults(f)
	for _, cdb := range []string{
		"8a 00 0000000000000000 ffffffff 00 00", "93 00 0000000000000000 ffffffff 00 00", "90 00 0000000000000000 ffffffff 00 00",
	} {
		began := time.Now()
		anyhow(t, d, unhex(cdb), make([]byte, 512))
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("CDB %s took %v", cdb, took)
		}
	}
}

// Chance and counters see a command once, even one that is executed again to wait.
func TestSlowCommandsAreJudgedOnce(t *testing.T) {
	u := newSizedUnit("thin", 1<<20, 512)
	u.busy = true
	s := u.suffer(t, "any every 3: busy")
	var got string
	for range 9 {
		r, _ := anyhow(t, u.Disk, unhex("28 00 000003e8 00 0001 00"), stale(512))
		got += fmt.Sprint(r.Status, " ")
	}
	if _, fired := s.Counts(); fired != 3 || got != "0 0 8 0 0 8 0 0 8 " {
		t.Errorf("fired %d times: %s", fired, got)
	}
}

// A unit attention that is pending comes first, and so does a medium that is not
// ready.
func TestStateOfTheUnitComesBeforeFaults(t *testing.T) {
	u := newSizedUnit("thin", 1<<20, 512)
	u.suffer(t, "any: medium", "any: busy")
	u.CapacityChanged()
	for _, want := range []string{"UNIT ATTENTION, CAPACITY DATA HAS CHANGED", "MEDIUM ERROR, UNRECOVERED READ ERROR (lba 0)"} {
		if r, _ := anyhow(t, u.Disk, unhex("28 00 00000000 00 0001 00"), stale(512)); Outcome(r.Status, r.Sense) != want {
			t.Errorf("%s, want %s", Outcome(r.Status, r.Sense), want)
		}
	}
	u = newSizedUnit("read-only", 1<<20, 512)
	u.suffer(t, "any: medium")
	if r, _ := anyhow(t, u.Disk, unhex("2a 00 00000000 00 0001 00"), stale(512)); Outcome(r.Status, r.Sense) != "DATA PROTECT, WRITE PROTECTED" {
		t.Errorf("%s", Outcome(r.Status, r.Sense))
	}
}

func TestNoRulesNoFaults(t *testing.T) {
	u := newSizedUnit("thin", 1<<20, 512)
	u.suffer(t, "any: busy")
	u.SetFaults(nil)
	if r, _ := anyhow(t, u.Disk, unhex("28 00 00000000 00 0001 00"), stale(512)); r.Status != good {
		t.Errorf("%+v", r)
	}
}

// Whatever an initiator sends, rules do not make it panic, fail without sense data, or
// return data of other commands.
func FuzzFaults(f *testing.F) {
	for _, tt := range misbehaviour {
		f.Add(tt.rule, unhex(tt.cdb), randomBytes(tt.out+tt.in))
	}
	for _, text := range fault.Examples {
		f.Add(text, unhex("42 00 00000000 00 0018 00"), unhex("0016 0010 00000000 00000000000003e8 00000008 00000000"))
	}
	f.Fuzz(func(t *testing.T, rule string, cdb, data []byte) {
		r, err := fault.Parse(rule)
		if err != nil || len(cdb) > 32 || len(data) > 1<<17 {
			return
		}
		u := newSizedUnit("thin", 1<<20, 512)
		s := fault.NewSet(1)
		_ = s.Add(r)
		u.SetFaults(s)
		defer u.Disk.Close()
		for range 2 {
			result, _ := anyhow(t, u.Disk, cdb, split(slices.Clone(data), 700)...)
			if int(result.DataIn) > len(data) || (result.Status == checkCondition) != (len(result.Sense) > 0) {
				t.Errorf("%s, %x: %+v", rule, cdb, result)
			}
		}
	})
}
