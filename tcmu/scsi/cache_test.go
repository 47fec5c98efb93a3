package scsi

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// A blockingStore blocks the first call of one kind until open is closed.
type blockingStore struct {
	*thinStore
	call          string
	reached, open chan struct{}
}

func newBlockingStore(call string) *blockingStore {
	return &blockingStore{&thinStore{writableStore{memStore{bytes: randomBytes(1 << 20)}}}, call, make(chan struct{}), make(chan struct{})}
}

// block blocks if this is the first call of the kind.
func (s *blockingStore) block(call string) {
	if call == s.call {
		s.call = ""
		close(s.reached)
		<-s.open
	}
}

func (s *blockingStore) WriteVec(bufs [][]byte, off int64, f backstores.Flag) error {
	if f&backstores.NoWait != 0 {
		return backstores.ErrWouldBlock
	}
	s.block("write")
	return s.thinStore.WriteVec(bufs, off, f)
}

func (s *blockingStore) Flush() error {
	s.block("flush")
	return s.thinStore.Flush()
}

// Every change of the store is durable or followed by a flush.
func TestChangesAreDurableWithoutWCE(t *testing.T) {
	for i, x := range mediumChanges(newUnit("thin", 512)) {
		u := newUnit("thin", 512)
		x = mediumChanges(u)[i]
		selectModes(t, u.Disk, header6+cachingOff)
		u.calls = nil
		if _, why := execute(t, u.Disk, unhex(x.cdb), split(unhex(x.out), 300)...); why != "" {
			t.Errorf("%s: sense data %q", x.name, why)
		}
		durable := true
		for _, call := range u.calls {
			switch verb, _, _ := strings.Cut(call, " "); verb {
			case "write", "zero", "trim":
				durable = strings.HasSuffix(call, " durable")
			case "flush":
				durable = true
			}
		}
		if !durable || len(u.calls) == 0 {
			t.Errorf("%s: store calls %q", x.name, u.calls)
		}
	}
	u := newUnit("thin", 512)
	selectModes(t, u.Disk, header6+cachingOff)
	selectModes(t, u.Disk, header6+cachingOn)
	u.calls = nil
	execute(t, u.Disk, unhex("2a 00 00000001 00 0001 00"), stale(512))
	if want := []string{"write 512 at 512"}; !slices.Equal(u.calls, want) {
		t.Errorf("after setting WCE again: store calls %q, want %q", u.calls, want)
	}
}

// The initiator need not send SYNCHRONIZE CACHE any more.
func TestClearingWCEFlushes(t *testing.T) {
	u := newUnit("thin", 512)
	execute(t, u.Disk, unhex("2a 00 00000001 00 0001 00"), stale(512))
	u.calls = nil
	selectModes(t, u.Disk, header6+cachingOff)
	if want := []string{"flush 0 at 0"}; !slices.Equal(u.calls, want) {
		t.Errorf("store calls %q, want %q", u.calls, want)
	}
	u = newUnit("thin", 512)
	u.fails["flush"] = unix.EIO
	b := unhex(header6 + cachingOff)
	if _, why := execute(t, u.Disk, unhex("15 10 0000 18 00"), b); !strings.HasPrefix(why, "4/0c/00") || modes(t, u.Disk) != "WCE" {
		t.Errorf("with a failing flush: sense data %q, modes %q", why, modes(t, u.Disk))
	}
}

func TestModeSelectMayFlushOnlyIfItMayWait(t *testing.T) {
	for _, cdb := range []string{"15 10 0000 18 00", "55 10 0000000000 001c 00"} {
		u := newUnit("thin", 512)
		list := unhex(header6 + cachingOff)
		if cdb[:2] == "55" {
			list = unhex(header10 + cachingOff)
		}
		r, err := u.Execute(unhex(cdb), [][]byte{list}, false)
		if err == nil || len(u.calls) > 0 || modes(t, u.Disk) != "WCE" {
			t.Errorf("%s: %+v, %v; calls of the store: %q", cdb, r, err, u.calls)
		}
		if _, why := execute(t, u.Disk, unhex(cdb), list); why != "" || modes(t, u.Disk) != "" {
			t.Errorf("%s: sense data %q", cdb, why)
		}
	}
}

func TestWriteInFlightIsDurableIfCacheIsDisabled(t *testing.T) {
	for _, cdb := range []string{"2a 00 00000005 00 0001 00", "8b 00 0000000000000005 00000001 00 00"} {
		s := newBlockingStore("write")
		d := NewDisk(s, Options{BlockSize: 512})
		done := make(chan byte)
		go func() {
			r, _ := d.Execute(unhex(cdb), [][]byte{stale(512)}, true)
			done <- r.Status
		}()
		<-s.reached
		list := unhex(header6 + cachingOff)
		if _, why := execute(t, d, cdbWith("15 10 0000 %02x 00", len(list)), list); why != "" {
			t.Fatalf("MODE SELECT: sense data %q", why)
		}
		close(s.open)
		status := <-done
		write := slices.IndexFunc(s.calls, func(call string) bool { return strings.HasPrefix(call, "write") })
		if status != 0 || write < 0 || !slices.ContainsFunc(s.calls[write:], func(call string) bool { return strings.HasPrefix(call, "flush") }) {
			t.Errorf("%s: status %02x, calls %q", cdb, status, s.calls)
		}
	}
}

// An exclusive command must not wait for the flush either, as all later
// commands would wait for it.
func TestFlushBlocksNoOtherCommand(t *testing.T) {
	s := newBlockingStore("flush")
	d := NewDisk(s, Options{BlockSize: 512})
	done := make(chan byte)
	go func() {
		r, _ := d.Execute(unhex("35 00 00000000 00 0000 00"), nil, true)
		done <- r.Status
	}()
	<-s.reached
	for _, cdb := range []string{
		"89 00 0000000000000007 000000 01 00 00", "28 00 00000100 00 0001 00", "00 00 00 00 00 00", "25 00 00000000 00 00 00 00",
	} {
		status := make(chan byte)
		go func() {
			r, _ := d.Execute(unhex(cdb), [][]byte{slices.Concat(s.bytes[7*512:8*512], stale(512))}, true)
			status <- r.Status
		}()
		if got := <-status; got != 0 {
			t.Errorf("%s: status %02x", cdb, got)
		}
	}
	close(s.open)
	if status := <-done; status != 0 {
		t.Errorf("the flush: status %02x", status)
	}
}
