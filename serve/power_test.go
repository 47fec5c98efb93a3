package serve

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/volatile"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A plainStore is bytes in memory.
type plainStore struct {
	zeroStore
	bytes []byte
}

func (s plainStore) ReadAt(p []byte, off int64) (int, error)  { return copy(p, s.bytes[off:]), nil }
func (s plainStore) WriteAt(p []byte, off int64) (int, error) { return copy(s.bytes[off:], p), nil }

// The power of a disk is cut and restored by the name of the disk, and each is said.
func TestPowerIsCutAndRestored(t *testing.T) {
	s, said, _ := misbehaving(t)
	d, h := s.disks[0], host{s}
	d.device.name = "a"
	if err := h.Power("a", false, false); err == nil || err.Error() != "a.img: what is not flushed is not known; its lunserve was started without --fault-track" {
		t.Errorf("without --fault-track: %v", err)
	}
	store := plainStore{bytes: make([]byte, 1<<20)}
	d.image.store = store
	unit := scsi.NewDisk(d.image.presented(&Options{TrackWrites: true}), scsi.Options{BlockSize: 512})
	d.device.unit = unit
	if d.image.cache == nil {
		t.Fatal("nothing is tracked")
	}
	if err := h.Power("a", true, false); err == nil || err.Error() != "a.img: has power" {
		t.Errorf("power on: %v", err)
	}
	write := []byte{0x2a, 0, 0, 0, 0, 8, 0, 0, 1, 0}
	if r, err := unit.Execute(write, [][]byte{bytes.Repeat([]byte{7}, 512)}, true); err != nil || r.Status != 0 {
		t.Fatal(r, err)
	}
	if store.bytes[8*512] != 7 {
		t.Error("the write is not in the image")
	}
	if err := h.Power("a", false, false); err != nil {
		t.Fatal(err)
	}
	if store.bytes[8*512] != 0 {
		t.Error("the write is in the image after the power cut")
	}
	if got := d.state(nil).Outage; got == nil || *got != (control.Outage{Lost: 4096}) {
		t.Errorf("the outage is %v", got)
	}
	if status, _ := d.unready(); status != 2 {
		t.Errorf("status %d without power", status)
	}
	if title := s.title(); !strings.HasSuffix(title, " (no power)") {
		t.Errorf("the status line begins with %q", title)
	}
	if err := h.Power("a", false, true); err == nil || err.Error() != "a.img: has no power already" {
		t.Errorf("a second cut: %v", err)
	}
	if err := h.Power("a", true, false); err != nil || d.state(nil).Outage != nil {
		t.Errorf("power on: %v", err)
	}
	if status, _ := d.unready(); status != 2 { // the unit attention
		t.Errorf("status %d after power on", status)
	}
	if status, _ := d.unready(); status != 0 {
		t.Errorf("then status %d", status)
	}
	const want = "lunserve: /dev/sdx: the power is cut; 4.0 KiB that was not flushed is lost\nlunserve: /dev/sdx: the power is back\n"
	if said.String() != want {
		t.Errorf("said\n%swant\n%s", said, want)
	}
}

// What cannot be written is not tracked.
func TestPowerOfAReadOnlyDiskIsNotCut(t *testing.T) {
	s, _, _ := misbehaving(t)
	d := s.disks[0]
	d.device.name, d.image.writes = "a", control.Refused
	d.image.store = struct{ backstores.Backstore }{zeroStore{}}
	if _, writable := d.image.presented(&Options{TrackWrites: true}).(io.WriterAt); writable || d.image.cache != nil {
		t.Error("it can be written")
	}
	if err := (host{s}).Power("a", false, false); err == nil || err.Error() != "a.img: is read-only: a power cut takes nothing from it" {
		t.Error(err)
	}
}

// Tracking adds and takes no ability of the disk.
func TestTrackedStoreHasTheAbilitiesOfTheImage(t *testing.T) {
	for _, thin := range []bool{false, true} {
		i := &openedImage{store: plainStore{bytes: make([]byte, 4096)}, thin: thin}
		if _, trims := i.presented(&Options{TrackWrites: true}).(backstores.Trimmer); trims {
			t.Errorf("thin %v: it trims", thin)
		}
		i.store = volatile.New(i.store, true)
		if _, trims := i.presented(&Options{TrackWrites: true}).(backstores.Trimmer); trims != thin {
			t.Errorf("thin %v: it trims: %v", thin, trims)
		}
	}
}
