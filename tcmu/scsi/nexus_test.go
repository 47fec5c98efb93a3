package scsi

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// direct returns a target with one unit, and nexuses of as many initiator ports.
func direct(variant string, ports int) (*unit, *Target, []*Nexus) {
	u := newUnit(variant, 512)
	o := u.Disk.Options
	o.Direct = true
	u.Disk = NewDisk(u.Disk.store, o)
	target := NewTarget(u.Disk)
	var all []*Nexus
	for i := range ports {
		all = append(all, target.Attach(fmt.Sprintf("iqn.2001-04.com.example:%d,i,0x00000000000%d", i, i)))
	}
	return u, target, all
}

// send executes a command with data-out, or with a buffer for data-in of as many bytes
// as it uses, and returns the data-in and the outcome: "", "conflict" or sense data.
func (n *Nexus) send(t testing.TB, cdb string, out ...string) (in []byte, why string) {
	t.Helper()
	buf := unhex(strings.Join(out, ""))
	if out == nil {
		_, room := n.Transfer(0, unhex(cdb), 1<<20)
		buf = stale(int(room))
	}
	r, err := n.Execute(0, unhex(cdb), [][]byte{buf}, true)
	switch {
	case err != nil:
		t.Fatal(err)
	case r.Status == conflict:
		return nil, "conflict"
	case r.Status != good:
		return nil, formatSense(t, r.Sense)
	case out == nil:
		in = buf[:r.DataIn]
	}
	return in, ""
}

func (n *Nexus) want(t testing.TB, want, cdb string, out ...string) {
	t.Helper()
	if _, why := n.send(t, cdb, out...); why != want {
		t.Errorf("%s: %q, want %q", cdb, why, want)
	}
}

const (
	reserveUnit  = "16 00 00 00 00 00"
	releaseUnit  = "17 00 00 00 00 00"
	askSense     = "03 00 00 00 12 00"
	writeOne     = "2a 00 00000000 00 0001 00"
	readOne      = "28 00 00000000 00 0001 00"
	modeSelect   = "15 10 00 00 18 00"
	modeWCE      = "00000000 0812 00 00000000000000000000000000000000 00"
	modeWCEAgain = "00000000 0812 04 00000000000000000000000000000000 00"
)

var block = strings.Repeat("5a", 512)

func TestUnitAttentionReachesEveryInitiatorOnce(t *testing.T) {
	u, target, n := direct("thin", 3)
	n[2].Close()
	for _, tt := range []struct {
		name string
		do   func()
		want [2]string // of each initiator
	}{
		{"capacity", u.CapacityChanged, [2]string{"6/2a/09", "6/2a/09"}},
		{"reset", func() { n[0].Reset(0) }, [2]string{"6/29/03", "6/29/03"}},
		{"target reset", n[1].ResetAll, [2]string{"6/29/03", "6/29/03"}},
		{"mode", func() { n[0].want(t, "", modeSelect, modeWCE) }, [2]string{"", "6/2a/01"}},
		{"twice", func() { u.CapacityChanged(); u.CapacityChanged() }, [2]string{"6/2a/09", "6/2a/09"}},
	} {
		tt.do()
		for i, want := range tt.want {
			n[i].want(t, "", "12 00 0000 24 00") // INQUIRY does not report it
			n[i].want(t, want, isReady)
			n[i].want(t, "", isReady)
		}
	}
	n[0].want(t, "", modeSelect, modeWCEAgain)
	n[1].send(t, isReady)
	u.CapacityChanged()
	if sense, _ := n[0].send(t, askSense); len(sense) != 18 || sense[12] != 0x2a {
		t.Errorf("REQUEST SENSE: % x", sense)
	}
	n[0].want(t, "", isReady)
	late := target.Attach("late")
	late.want(t, "", isReady)
}

// Write protection by one initiator holds for all, who are informed. The format of
// sense data stays.
func TestSharedUnitCanBeWriteProtected(t *testing.T) {
	u, _, n := direct("thin", 2)
	u.Shared = func() bool { return true }
	n[0].want(t, "", "15 10 00 00 10 00", "00000000 0a0a0010 08 00 00 00 ffff 0000")
	n[1].want(t, "6/2a/01", isReady)
	n[1].want(t, "7/27/02", writeOne, block)
	n[1].want(t, "5/26/00 list 6", "15 10 00 00 10 00", "00000000 0a0a0410 00 00 00 00 ffff 0000")
}

func TestPreventionEndsWithItsNexus(t *testing.T) {
	_, _, n := direct("removable", 2)
	n[0].want(t, "", prevent)
	n[1].want(t, "", allow)
	n[1].want(t, "5/53/02", eject)
	n[0].Close()
	n[1].want(t, "", eject)
	n[1].want(t, "", "1b 00 00 00 03 00")
	n[1].want(t, "", prevent)
	n[1].Reset(0)
	n[1].want(t, "6/29/03", isReady)
	n[1].want(t, "", eject)
}

func TestReserveExcludesOthers(t *testing.T) {
	_, _, n := direct("thin", 2)
	for _, end := range []struct {
		name string
		do   func()
	}{
		{"RELEASE", func() { n[0].want(t, "", releaseUnit) }},
		{"reset", func() { n[0].Reset(0); n[0].send(t, isReady); n[1].send(t, isReady) }},
		{"logout", n[0].Close},
	} {
		n[0].want(t, "", reserveUnit)
		n[0].want(t, "", reserveUnit)
		n[0].want(t, "", writeOne, block)
		for _, cdb := range []string{reserveUnit, isReady, readOne, "5e 00 0000000000 0008 00"} {
			n[1].want(t, "conflict", cdb)
		}
		n[1].want(t, "conflict", writeOne, block)
		for _, cdb := range []string{"12 00 0000 24 00", askSense, releaseUnit, "a0 00 00 000000 00000010 00 00"} {
			n[1].want(t, "", cdb)
		}
		n[1].want(t, "conflict", isReady) // RELEASE of another has no effect
		end.do()
		n[1].want(t, "", writeOne, block)
	}
}

// A write with less data than its CDB asks for writes whole blocks, and a read returns
// what there is room for. The result says what was asked for.
func TestShortTransfersAreReported(t *testing.T) {
	u, _, n := direct("thin", 1)
	before := bytes.Clone(u.bytes)
	for _, tt := range []struct {
		cdb  string
		room int
		want int32
	}{
		{"28 00 00000000 00 0002 00", 0, 1024},
		{"28 00 00000000 00 0002 00", 700, 1024},
		{"2a 00 00000000 00 0002 00", 0, 1024},
		{"2a 00 00000000 00 0002 00", 511, 1024},
		{"2e 00 00000000 00 0002 00", 100, 1024},
		{"12 00 00 00ff 00", 36, 96},
		{"25 00 00000000 00 0000 00", 4, 8},
	} {
		r, err := n[0].Execute(0, unhex(tt.cdb), [][]byte{make([]byte, tt.room)}, true)
		if err != nil || r.Status != good || r.DataIn != tt.want {
			t.Errorf("%s with %d bytes: %+v, %v; want a length of %d", tt.cdb, tt.room, r, err, tt.want)
		}
		if !bytes.Equal(u.bytes, before) {
			t.Fatalf("%s with %d bytes has written", tt.cdb, tt.room)
		}
	}
	for _, op := range []string{"2a", "2e"} {
		clear(u.bytes[:1024])
		if r, _ := n[0].Execute(0, unhex(op+" 00 00000000 00 0002 00"), [][]byte{bytes.Repeat([]byte{1}, 700)}, true); r.Status != good || r.DataIn != 1024 {
			t.Errorf("%+v", r)
		}
		if u.bytes[511] != 1 || u.bytes[512] != 0 {
			t.Errorf("opcode %s: not just the first block is written", op)
		}
	}
}

func TestTransferIsWhatTheCDBAsksFor(t *testing.T) {
	_, _, n := direct("thin", 1)
	for _, tt := range []struct {
		cdb  string
		out  bool
		room int64 // of 64 MiB that are expected
	}{
		{isReady, false, 0},
		{"08 000000 00 00", false, 256 * 512},
		{"0a 000000 02 00", true, 1024},
		{readOne, false, 512},
		{"a8 00 00000000 00000003 00 00", false, 3 * 512},
		{"8a 00 0000000000000000 00000004 00 00", true, 4 * 512},
		{"12 00 0000 24 00", false, 0x24},
		{"25 00 00000000 00 0000 00", false, 8},
		{"1a 00 3f 00 ff 00", false, 255},
		{modeSelect, true, 24},
		{"2f 00 00000000 00 0004 00", true, 0},
		{"2f 02 00000000 00 0004 00", true, 4 * 512},
		{"2f 06 00000000 00 0004 00", true, 512},
		{"34 00 00000000 00 0004 00", false, 0},
		{"42 00 00000000 00 0018 00", true, 24},
		{"5f 00 00 0000 00000018 00", true, 24},
		{"89 00 0000000000000000 000000 01 00 00", true, MaxTransfer}, // it checks how much comes
		{"93 00 0000000000000000 00000001 00 00", true, MaxTransfer},
		{"a0 00 00 000000 ffffffff 00 00", false, chunk},
		{"c0", false, 0},
		{"", false, 0},
	} {
		out, room := n[0].Transfer(0, unhex(tt.cdb), 64<<20)
		if out != tt.out || room != tt.room {
			t.Errorf("%s: data-out %v, %d bytes; want %v, %d", tt.cdb, out, room, tt.out, tt.room)
		}
		if _, room := n[0].Transfer(0, unhex(tt.cdb), 10); room > 10 {
			t.Errorf("%s: %d bytes of 10 that are expected", tt.cdb, room)
		}
	}
}

func TestLUNWithoutUnitSaysSo(t *testing.T) {
	_, _, n := direct("thin", 1)
	for _, tt := range []struct {
		cdb  string
		want string
		in   string
	}{
		{isReady, "5/25/00", ""},
		{"c0 00 00 00 00 00", "5/25/00", ""},
		{"12 00 00 0001 00", "", "7f"},
		{"12 01 00 0001 00", "5/25/00", ""},
		{askSense, "", "70 00 05 00000000 0a 00000000 25 00 00000000"},
		{"a0 00 00 000000 00000010 00 00", "", "00000008 00000000 0000000000000000"},
	} {
		buf := make([]byte, 32)
		r, err := n[0].Execute(1<<48, unhex(tt.cdb), [][]byte{buf}, true)
		why := ""
		if r.Status == checkCondition {
			why = formatSense(t, r.Sense)
		}
		if err != nil || why != tt.want || !bytes.Equal(buf[:r.DataIn], unhex(tt.in)) {
			t.Errorf("%s: %q, % x; want %q, %s", tt.cdb, why, buf[:r.DataIn], tt.want, tt.in)
		}
	}
	if n[0].Reset(1<<48) || n[0].Abort(1<<48) || !n[0].Abort(0) {
		t.Error("task management of a LUN without a unit")
	}
	for lun, want := range map[uint64]int{0: 0, 1 << 48: 1, 0x4001 << 48: 1, 0x8001 << 48: -1, 1: -1, 0xc101 << 48: -1} {
		if got := Number(lun); got != want {
			t.Errorf("%016x: %d, want %d", lun, got, want)
		}
	}
}

func TestNexusDoesNotAllocate(t *testing.T) {
	d := NewDisk(make(benchStore, 1<<20), Options{BlockSize: 512, Direct: true})
	n := NewTarget(d).Attach("port")
	for _, x := range hot {
		cdb, bufs := unhex(x.cdb), split(stale(4096), 2048)
		if got := testing.AllocsPerRun(100, func() {
			_, room := n.Transfer(0, cdb, 4096)
			if r, err := n.Execute(0, cdb, bufs, false); r.Status != good || err != nil || room != 4096 {
				t.Fatalf("%s: %+v, %v", x.name, r, err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations a command", x.name, got)
		}
	}
}

// FuzzNexus sends commands of two initiators: none may panic, or take memory that its
// initiator does not expect.
func FuzzNexus(f *testing.F) {
	f.Add(unhex(reserveUnit), []byte{}, uint64(0))
	f.Add(unhex("5f 00 01 0000 00000018 00"), unhex("0000000000000000 0000000000000001 0000000000000000"), uint64(0))
	f.Add(unhex("5f 04 01 0000 00000018 00"), unhex("0000000000000001 0000000000000001 0000000000000000"), uint64(0))
	f.Add(unhex("5e 03 0000000000 00ff 00"), stale(64), uint64(1<<48))
	_, _, n := direct("thin", 2)
	turn := 0
	f.Fuzz(func(t *testing.T, cdb, data []byte, lun uint64) {
		turn++
		out, room := n[turn%2].Transfer(lun, cdb, int64(len(data)))
		if room < 0 || room > int64(len(data)) {
			t.Fatalf("%d bytes of %d", room, len(data))
		}
		r, err := n[turn%2].Execute(lun, cdb, [][]byte{data[:room]}, true)
		if err != nil || r.DataIn < 0 || out && r.Status != good && r.DataIn != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	})
}
