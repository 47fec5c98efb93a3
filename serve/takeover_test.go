package serve

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/serve/console"
)

// A program that cannot go on with the disks leaves them as a kill does, whatever it
// has done by then: the guard takes them, and nothing may be removed under it.
func TestProgramThatCannotTakeOverUndoesNothing(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 1<<20)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	signals, err := newMemfd()
	if err != nil {
		t.Fatal(err)
	}
	taken = &handOver{Signals: signals, Control: -1, Trace: -1, Disks: []*handedOverDisk{{Name: "missing", Image: fd, Overlay: -1, Size: 1 << 20}}}
	stopSignals, userSignals = notifySignals()
	defer func() { taken, stopSignals, userSignals = nil, nil, nil }()
	c := console.New(os.Stderr, "test")
	defer c.Close()
	s, err := takeOver(Options{Images: []Image{{Path: path}}, Loopback: true, SectorSize: 512, Open: image.Options{Format: image.Auto}}, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.serve(t.Context()); err == nil {
		t.Error("it goes on with a disk that does not exist")
	}
	if err := unix.Fstat(fd, new(unix.Stat_t)); err != nil {
		t.Errorf("the image is closed: %v", err)
	}
}
