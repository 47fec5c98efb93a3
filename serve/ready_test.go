package serve

import (
	"io"
	"testing"
	"testing/synctest"
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
