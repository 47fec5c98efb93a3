package scsi

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/lunserve/lunserve/backstores"
)

// A heldStore writes when it may go on.
type heldStore struct {
	*thinStore
	goOn chan struct{}
}

func (s heldStore) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	<-s.goOn
	return s.thinStore.WriteVec(bufs, off, f)
}

// After PREEMPT AND ABORT nothing that was preempted writes: the initiator may start to
// use the disk.
func TestPreemptAndAbortWaitsForWrites(t *testing.T) {
	same := "41 00 00000000 00 4000 00" // two slices
	for _, tt := range []struct {
		name, cdb string
		wait      bool
		goesOn    int
		want      byte // status
	}{
		{"quick write", writeOne, false, 1, good},
		{"write", writeOne, true, 1, good},
		{"WRITE SAME", same, true, sliceBytes / chunk, conflict},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := heldStore{&thinStore{writableStore{memStore{bytes: make([]byte, 8<<20)}}}, make(chan struct{})}
			d := NewDisk(store, Options{BlockSize: 512, Direct: true})
			target := NewTarget(d)
			old, taker := target.Attach("old"), target.Attach("new")
			old.out(t, "", prRegister, 0, 0, 0xa)
			taker.out(t, "", prRegister, 0, 0, 0xb)
			old.out(t, "", prReserve, 5, 0xa, 0)
			var r Result
			go func() {
				r, _ = old.Execute(0, unhex(tt.cdb), [][]byte{bytes.Repeat([]byte{0x5a}, 512)}, tt.wait)
			}()
			synctest.Wait()
			settled := false
			go func() {
				taker.out(t, "", prPreemptAndAbort, 5, 0xb, 0xa)
				settled = true
			}()
			synctest.Wait()
			if settled {
				t.Errorf("%s: not awaited", tt.name)
			}
			taker.want(t, "", readOne) // waits for neither
			for range tt.goesOn {
				store.goOn <- struct{}{}
			}
			synctest.Wait()
			if !settled || r.Status != tt.want {
				t.Errorf("%s: awaited %v, status %#02x, want %#02x", tt.name, settled, r.Status, tt.want)
			}
			if len(bytes.Trim(store.bytes[sliceBytes:], "\x00")) > 0 {
				t.Errorf("%s: it has written after PREEMPT AND ABORT", tt.name)
			}
		})
	}
}

// A command that was let in when nothing was reserved, and enters after PREEMPT AND
// ABORT has stopped waiting, writes nothing.
func TestReservationIsCheckedOnceACommandHasEntered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _, n := direct("thin", 2)
		before := bytes.Clone(u.bytes)
		first, _ := u.tasks.enter(task{end: 1, exclusive: true}, true)
		why := ""
		go func() { _, why = n[0].send(t, writeOne, block) }()
		synctest.Wait()
		n[1].out(t, "", prRegister, 0, 0, 0xb)
		n[1].out(t, "", prReserve, 3, 0xb, 0)
		u.tasks.leave(first)
		synctest.Wait()
		if why != "conflict" || !bytes.Equal(u.bytes, before) {
			t.Errorf("%q, and it has written: %v", why, !bytes.Equal(u.bytes, before))
		}
	})
}
