package serve

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
)

// A terminal at ^S, or a pipe that is full, does not end a start.
func TestStandardOutputThatIsNotReadDoesNotEndAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := &service{disks: []*disk{{address: address{node: "/dev/sdx"}}}}
		if err := s.printLines(w); err != nil {
			t.Errorf("printLines = %v", err)
		}
		line := make([]byte, 64)
		if n, err := r.Read(line); string(line[:n]) != "/dev/sdx\n" || err != nil {
			t.Errorf("read later is %q, %v", line[:n], err)
		}
	})
}

func TestAnErrorOfStandardOutputEndsAStart(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	s := &service{disks: []*disk{{address: address{node: "/dev/sdx"}}}}
	if err := s.printLines(w); err != io.ErrClosedPipe {
		t.Errorf("printLines = %v, want %v", err, io.ErrClosedPipe)
	}
}

// Disks that are in use outlive the reader of the events, as in lunserve --json | head -1.
func TestAnErrorOfStandardOutputEndsNoUpgrade(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	events := &eventLog{console.NewWriter(w)}
	defer events.close()
	s := &service{role: upgrading, taken: new(handOver), events: events}
	if err := s.announce(new(configfs.Undo)); err != nil {
		t.Errorf("announce = %v", err)
	}
}
