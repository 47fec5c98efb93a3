package serve

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
)

// While a thread writes, execve waits for it, and all disks with it. So a stream whose
// reader has stopped is one reason not to upgrade, whether it has events, messages or
// the trace.
func TestStreamThatIsNotReadPreventsAnUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, name := range []string{"", "standard output", "standard error", "the trace"} {
			var to [4]io.Writer
			for i := range to {
				to[i] = new(bytes.Buffer)
			}
			r, w := io.Pipe()
			to[n] = w
			events, c, trace := &eventLog{console.NewWriter(to[1])}, console.New(to[2], "test"), console.NewWriter(to[3])
			s := &service{console: c, events: events, tracer: &tracer{to: trace, lines: make(chan string, 9)}}
			s.tracer.writing.Go(s.tracer.write)
			_ = s.events.emit(Event{Event: "stats"})
			s.console.Print("a message")
			s.tracer.lines <- "a command"
			messages, traced := s.flushMessages(), s.tracer.flush()
			for i, err := range []error{messages, traced} {
				want := ""
				if n > 0 && (n == 3) == (i == 1) {
					want = name + ": write: timed out; the reader has stopped; try kill -USR2 " + pid() + " to upgrade later"
				}
				if err != nil && hint.Text(err) != want || err == nil && want != "" {
					t.Errorf("%s is not read: %v, want %q", name, err, want)
				}
			}
			close(s.tracer.lines)
			go io.Copy(io.Discard, r)
			synctest.Wait()
			_, _, _ = events.close(), c.Close(), trace.Close()
			w.Close()
		}
	})
}

// A second SIGUSR2 while an upgrade is prepared, because storage hangs, prints why nothing
// happens.
func TestPreparationThatHangsIsNamed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := console.New(w, "test")
	s := &service{console: c, cancelUpgrade: func() {}}
	s.prepareUpgrade()
	c.Close()
	w.Close()
	if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "does not answer") {
		t.Errorf("it says %q, %v", text, err)
	}
}

func pid() string { return fmt.Sprint(os.Getpid()) }
