package main

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"sync"

	"github.com/lunserve/lunserve/hint"
)

// console is where a person is told what happens: stderr, or the system's log
// once that is somebody else's.
var console = screen{out: newOutlet(os.Stderr), prefix: "lunserve: "}

// A screen is lines of text and, below them on a terminal, one that is drawn
// again and again. What cannot be written is lost: there is nobody to tell.
type screen struct {
	mu     sync.Mutex
	out    *outlet
	prefix string // of a line
	foot   string // what is drawn below
	quiet  bool   // only warnings and errors are wanted
}

// print writes a line.
func (s *screen) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.write(s.prefix + line + "\n")
}

// below draws the line at the foot; an empty one removes it. It is not drawn
// for nobody to see.
func (s *screen) below(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line != s.foot && (line == "" || !s.out.late.Load()) {
		_, _ = io.WriteString(s.out, draw(line))
		s.foot = line
	}
}

// draw is what draws the line at the foot over another.
func draw(foot string) string {
	if foot == "" {
		return "\r\x1b[K\r"
	}
	return "\r" + foot + "\x1b[K"
}

// toLog has everything after this said in the system's log, if there is one.
func (s *screen) toLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prefix = ""
	if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "lunserve"); err == nil {
		s.out = newOutlet(w)
	} else {
		s.out = newOutlet(io.Discard)
	}
}

// Write writes whole lines. It is for what is no message, such as a trace.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *screen) write(text string) error {
	if s.foot != "" {
		text = draw("") + text + draw(s.foot)
	}
	_, err := io.WriteString(s.out, text)
	return err
}

// say tells what is good to know.
func say(format string, a ...any) {
	if !console.quiet {
		console.print(fmt.Sprintf(format, a...))
	}
}

// warn tells what should be looked at.
func warn(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	console.print("warning: " + text)
	events.emit(event{Event: "warning", Message: text})
}

// oneLine is the text of an error, with the errors joined in it side by side.
func oneLine(err error) string {
	return hint.Text(err)
}
