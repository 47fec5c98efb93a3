package iscsi_test

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/iscsi"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A gatedStore reads when its gate is open.
type gatedStore struct {
	backstores.Backstore
	gate chan struct{}
}

func (s gatedStore) ReadAt(p []byte, off int64) (int, error) {
	<-s.gate
	return s.Backstore.ReadAt(p, off)
}

// Reads wait for the store, and more of them come than the window lets in: SNACKs,
// which are no commands, do not open it.
func TestFloodOfSNACKsAndReadsDoesNotBlockTheEnd(t *testing.T) {
	store := gatedStore{newStore(t, 1<<20, false), make(chan struct{})}
	target, portals := serve(t, iscsi.Options{}, newDisk(store, scsi.Options{}))
	i := dial(t, portals[0]).login()
	for range 600 {
		var p pdu
		p.header[0], p.header[1] = 0x10, complete
		i.write(p)
	}
	for range 500 {
		i.command(complete|wantsData, 512, read10(0, 1), nil)
	}
	for range 600 {
		if a := i.read(0x3f); a.word(32)-a.word(28) > 127 {
			t.Fatalf("ExpCmdSN %d, MaxCmdSN %d", a.word(28), a.word(32))
		}
	}
	ended := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { close(store.gate) })
	go func() {
		target.Close()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the target does not end")
	}
}

// A hostile initiator asks for more memory than a session has: its commands wait, and
// all of them are executed. Memory comes in powers of two.
func TestMemoryOfASessionIsBounded(t *testing.T) {
	_, portals := serve(t, iscsi.Options{}, newDisk(newStore(t, 64<<20, false), scsi.Options{}))
	i := dial(t, portals[0]).login("ImmediateData=No", "MaxBurstLength=1048576")
	for _, tt := range []struct{ blocks, commands, together int }{{34000, 2, 1}, {20000, 3, 2}} {
		for range tt.commands {
			i.command(complete|hasData, tt.blocks*512, write10(0, tt.blocks), nil)
		}
		done := 0
		open := map[uint32]bool{}
		for done < tt.commands {
			p, err := i.tryRead()
			if err != nil {
				t.Fatal(err)
			}
			switch p.header[0] & 0x3f {
			case 0x31:
				open[p.word(16)] = true
				if len(open) > tt.together {
					t.Fatalf("data of %d commands of %d blocks is asked for at once", len(open), tt.blocks)
				}
				i.sendBurst(p)
			case 0x21:
				delete(open, p.word(16))
				done++
			}
		}
	}
}

// sendBurst sends the data that an R2T asks for.
func (i *initiator) sendBurst(r2t pdu) {
	for off, n, sn := int(r2t.word(40)), int(r2t.word(44)), 0; n > 0; sn++ {
		m := min(n, 256<<10)
		i.dataOut(r2t.word(16), r2t.word(20), sn, off, n == m, make([]byte, m))
		off, n = off+m, n-m
	}
}

// A command that needs much memory is not overtaken for ever by those that need little.
func TestCommandsGetMemoryInTheirOrder(t *testing.T) {
	_, portals := serve(t, iscsi.Options{}, newDisk(newStore(t, 64<<20, false), scsi.Options{}))
	i := dial(t, portals[0]).login("ImmediateData=No", "MaxBurstLength=1048576")
	var tags []uint32
	for _, blocks := range []int{32768, 65535, 1} {
		tags = append(tags, i.command(complete|hasData, blocks*512, write10(0, blocks), nil))
	}
	for _, tag := range tags {
		p := i.read(0x31)
		for p.header[0]&0x3f == 0x31 && p.word(16) == tag {
			i.sendBurst(p)
			p, _ = i.tryRead()
		}
		if p.header[0]&0x3f != 0x21 || p.word(16) != tag {
			t.Fatalf("command %d: PDU %#02x of command %d", tag, p.header[0], p.word(16))
		}
	}
}

// The data of a ping is in the buffer that the next PDUs are received in.
func TestPipelinedPingsAreEchoed(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal).login("MaxRecvDataSegmentLength=16384")
	const pings, size = 64, 12000
	go func() {
		for n := range pings {
			var p pdu
			p.header[0], p.header[1] = 0x40, complete
			p.set(16, uint32(n))
			p.set(20, 0xffffffff)
			p.set(24, 1)
			p.data = bytes.Repeat([]byte{byte(n)}, size)
			i.write(p)
		}
	}()
	for n := range pings {
		if a := i.read(0x20); a.word(16) != uint32(n) || !bytes.Equal(a.data, bytes.Repeat([]byte{byte(n)}, size)) {
			t.Fatalf("ping %d: not what was sent", n)
		}
	}
}

// An initiator that asks for a short burst after a long first one may send that.
func TestFirstBurstThatWasAnsweredIsTaken(t *testing.T) {
	_, portal := one(t, iscsi.Options{})
	i := dial(t, portal).login("FirstBurstLength=4096", "MaxBurstLength=512")
	i.command(complete|hasData, 4096, write10(0, 8), make([]byte, 4096))
	i.good()
}

func TestLongValuesAreReportedInBrief(t *testing.T) {
	var reported atomic.Int32
	_, portal := one(t, iscsi.Options{Report: func(err error) { reported.Store(int32(len(err.Error()))) }})
	long := strings.Repeat("x", 7000)
	me, it := "InitiatorName="+initiatorName, "TargetName="+targetName
	for _, keys := range [][]string{{"InitiatorName=" + long}, {me, "TargetName=" + long}, {me, it, "SessionType=" + long}, {me, it, "ImmediateData=" + long}, {me, it, "MaxBurstLength=" + long}} {
		reported.Store(0)
		i := dial(t, portal)
		i.loginRequest(1, 3, keys...)
		i.isDisconnected()
		for reported.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		if n := reported.Load(); n > 600 {
			t.Errorf("%.30s: an error of %d bytes", keys[len(keys)-1], n)
		}
	}
}
