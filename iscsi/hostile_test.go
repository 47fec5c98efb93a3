package iscsi_test

import (
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
