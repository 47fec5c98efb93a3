package iscsi_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu/scsi"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// misbehaving serves a disk of 16 MiB with these rules.
func misbehaving(t *testing.T, rules ...string) (disk *scsi.Disk, s *fault.Set, target *iscsi.Target, portal string) {
	t.Helper()
	s = fault.NewSet(3)
	for _, text := range rules {
		r, err := fault.Parse(text)
		if err == nil {
			err = s.Add(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	disk = newDisk(newStore(t, 16<<20, false), scsi.Options{})
	disk.SetFaults(s)
	target, portals := serve(t, iscsi.Options{}, disk)
	return disk, s, target, portals[0]
}

// awaitFired waits until as many commands have been changed by rules.
func awaitFired(t *testing.T, s *fault.Set, n uint64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, fired := s.Counts(); fired == n {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d commands, want %d", fired, n)
		}
	}
}

// Rules see each command once, in whichever way its data comes, and the initiator
// notices nothing of what is lost.
func TestFaultsSeeEachCommand(t *testing.T) {
	_, s, _, portal := misbehaving(t, "read lba 1000+8: medium", "write lba 2000+2000: lost", "write lba 5000+2000: torn 1", "read lba 5+600 every 2: busy")
	i := dial(t, portal).login("InitialR2T=No", "MaxBurstLength=4096", "FirstBurstLength=4096")
	for n, expect := range []byte{0, 8, 0, 8} {
		blocks := []int{1, 1, 300, 300}[n] // read at once, and by a worker
		i.command(complete|wantsData, 512*blocks, read10(5, blocks), nil)
		if _, status, _ := i.readData(); status != expect {
			t.Errorf("read %d: status %#02x, want %#02x", n, status, expect)
		}
	}
	i.command(complete|wantsData, 4*512, read10(998, 4), nil)
	if data, status, sense := i.readData(); status != 2 || sense[2] != 3 || sense[12] != 0x11 || len(data) > 0 {
		t.Errorf("status %#02x, sense data % x, %d bytes", status, sense, len(data))
	}
	write := func(lba, blocks int, immediate bool) {
		t.Helper()
		data := bytes.Repeat([]byte{7}, 512*blocks)
		sent := 0
		if immediate {
			sent = len(data)
		}
		tag := i.command(complete|hasData, len(data), write10(lba, blocks), data[:sent])
		for sent < len(data) {
			r2t := i.read(0x31)
			n := int(r2t.word(44))
			i.dataOut(tag, r2t.word(20), 0, sent, true, data[sent:sent+n])
			sent += n
		}
		p := i.read(0x21)
		if p.header[3] != 0 || p.header[1]&^complete != 0 {
			t.Errorf("write of %d blocks: status %#02x, flags %#02x", blocks, p.header[3], p.header[1])
		}
	}
	for lba, want := range map[int]int{2000: 0, 5000: 512, 8000: 512} {
		for _, blocks := range []int{1, 2, 400} {
			write(lba, blocks, blocks < 3)
			i.command(complete|wantsData, 512*blocks, read10(lba, blocks), nil)
			n := min(max(want, 0), 512*blocks)
			if lba == 8000 {
				n = 512 * blocks
			}
			if got := i.good(); bytes.Count(got, []byte{7}) != n {
				t.Errorf("lba %d, %d blocks: %d bytes are written, want %d", lba, blocks, bytes.Count(got, []byte{7}), n)
			}
		}
	}
	if _, fired := s.Counts(); fired != 2+1+3+2 { // one block cannot be torn
		t.Errorf("fired %d times", fired)
	}
	i.logout()
}

// Commands that are held take no worker: others pass them. They end by their time, by
// the end of the rules, by a logout, and with the connection, and are executed once.
func TestHeldCommandsLetOthersPass(t *testing.T) {
	_, s, _, portal := misbehaving(t, "read lba 0+100: hang", "write lba 0+100: hang", "read lba 200: delay 100ms")
	i := dial(t, portal).login()
	for n := range 40 {
		if n%2 == 0 {
			i.command(complete|wantsData, 512, read10(n, 1), nil)
		} else {
			i.command(complete|hasData, 512, write10(n, 1), bytes.Repeat([]byte{byte(n)}, 512))
		}
	}
	awaitFired(t, s, 40)
	began := time.Now()
	i.command(complete|wantsData, 512, read10(200, 1), nil)
	i.good()
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("delayed for %v", took)
	}
	for range 40 { // held data is not overwritten by what passes
		i.command(complete|hasData, 512, write10(300, 1), bytes.Repeat([]byte{0xff}, 512))
		i.good()
	}
	i.command(complete|wantsData, 512<<10, read10(1000, 1024), nil) // by a worker
	i.good()
	s.Clear()
	for range 40 {
		i.good()
	}
	for n := range 40 {
		i.command(complete|wantsData, 512, read10(n, 1), nil)
		want := byte(n % 2 * n)
		if got := i.good(); !bytes.Equal(got, bytes.Repeat([]byte{want}, 512)) {
			t.Errorf("block %d has %d, want %d", n, got[0], want)
		}
	}
	i.logout()
}

func TestLogoutEndsHeldCommands(t *testing.T) {
	_, s, _, portal := misbehaving(t, "write: hang")
	i := dial(t, portal).login()
	i.command(complete|hasData, 512, write10(0, 1), bytes.Repeat([]byte{1}, 512))
	awaitFired(t, s, 1)
	var p pdu
	p.header[0], p.header[1] = 0x46, complete
	p.set(24, i.cmdSN)
	i.write(p)
	i.good() // it is executed, and answered before the logout
	i.read(0x26)
	i.isDisconnected()
	s.Clear()
	i = dial(t, portal).login()
	i.command(complete|wantsData, 512, read10(0, 1), nil)
	if got := i.good(); got[0] != 1 {
		t.Error("the command was not executed")
	}
	i.logout()
}

// A connection that is lost, and the end of the target, wait for no rule.
func TestHeldCommandsEndWithTheirConnection(t *testing.T) {
	_, s, target, portal := misbehaving(t, "any: hang")
	for n := range 3 {
		i := dial(t, portal)
		i.login()
		for range 8 {
			i.command(complete|wantsData, 512, read10(0, 1), nil)
		}
		awaitFired(t, s, uint64(8*n+8))
		if n < 2 {
			i.conn.Close()
		}
	}
	began := time.Now()
	if err := target.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// An aborted command is not executed, and the function ends at once.
func TestHeldCommandsAreAborted(t *testing.T) {
	_, s, _, portal := misbehaving(t, "write: hang")
	for n, function := range []byte{1, 2, 4, 5, 6} {
		i := dial(t, portal).login()
		tag := i.command(complete|hasData, 512, write10(0, 1), bytes.Repeat([]byte{1}, 512))
		awaitFired(t, s, uint64(n+1))
		if a := i.manage(function, 0, tag); a.header[2] != 0 {
			t.Errorf("function %d: response %d", function, a.header[2])
		}
		if function >= 5 {
			i.command(complete, 0, make([]byte, 6), nil) // the unit attention
			i.readData()
		}
		i.command(complete|wantsData, 512, read10(0, 1), nil)
		if got := i.good(); got[0] != 0 {
			t.Errorf("function %d: the command was executed", function)
		}
		i.logout()
	}
	// A reset by another initiator ends it with sense data.
	i, other := dial(t, portal).login(), dial(t, portal)
	other.isid = 2
	other.login()
	i.command(complete|hasData, 512, write10(0, 1), bytes.Repeat([]byte{1}, 512))
	awaitFired(t, s, 6)
	if a := other.manage(5, 0, 0); a.header[2] != 0 {
		t.Errorf("reset by another: response %d", a.header[2])
	}
	if _, status, sense := i.readData(); status != 2 || sense[2] != 0x0b || sense[12] != 0x2f {
		t.Errorf("status %#02x, sense data % x", status, sense)
	}
	other.logout()
	i.logout()
}

// A reservation of another, and a unit attention, come before rules.
func TestStateOfTheNexusComesBeforeFaults(t *testing.T) {
	disk, s, _, portal := misbehaving(t, "any: aborted")
	i, other := dial(t, portal).login(), dial(t, portal)
	other.isid = 2
	other.login()
	disk.CapacityChanged()
	for _, want := range []byte{6, 0x0b} {
		i.command(complete|wantsData, 512, read10(0, 1), nil)
		if _, status, sense := i.readData(); status != 2 || sense[2] != want {
			t.Errorf("status %#02x, sense data % x, want sense key %#02x", status, sense, want)
		}
	}
	s.Clear()
	disk.SetFaults(nil)
	other.command(complete, 0, make([]byte, 6), nil) // the unit attention
	other.readData()
	i.command(complete, 0, []byte{0x16, 0, 0, 0, 0, 0}, nil) // RESERVE
	i.good()
	r, _ := fault.Parse("any: busy")
	if err := s.Add(r); err != nil {
		t.Fatal(err)
	}
	disk.SetFaults(s)
	other.command(complete|wantsData, 512, read10(0, 1), nil)
	if _, status, _ := other.readData(); status != 0x18 {
		t.Errorf("status %#02x for a reserved unit", status)
	}
}

// QEMU gets the errors as those of a disk.
func TestQEMUSeesFaults(t *testing.T) {
	needQEMU(t)
	_, _, _, portal := misbehaving(t, "read lba 1000+8: medium", "write lba 5000 once: busy")
	url := "iscsi://" + portal + "/" + targetName + "/0"
	out, _ := exec.Command("qemu-io", "-f", "raw", "-c", "read 512000 4k", url).CombinedOutput()
	if !strings.Contains(string(out), "read failed: Input/output error") {
		t.Errorf("a bad block: %s", out)
	}
	qemu(t, "qemu-io", "-f", "raw", "-c", "write -P 3 512000 4k", "-c", "read -P 3 512000 4k", "-c", "write -P 4 2560000 512", "-c", "read -P 4 2560000 512", url)
}
