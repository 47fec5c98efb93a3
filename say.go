package main

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"strings"
	"sync"
)

// console is where a person is told what happens: stderr, or the system's log
// once that is somebody else's.
var console = screen{out: os.Stderr, prefix: "lunserve: "}

// A screen is lines of text and, below them on a terminal, one that is drawn
// again and again. What cannot be written is lost: there is nobody to tell.
type screen struct {
	mu     sync.Mutex
	out    io.Writer
	prefix string // of a line
	foot   string // what is drawn below
	quiet  bool   // only warnings and errors are wanted
}

// print writes a line.
func (s *screen) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	foot := s.foot
	s.draw("")
	fmt.Fprintln(s.out, s.prefix+line)
	s.draw(foot)
}

// below draws the line at the foot; an empty one removes it.
func (s *screen) below(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw(line)
}

func (s *screen) draw(foot string) {
	if foot != s.foot {
		fmt.Fprint(s.out, "\r"+foot+"\x1b[K")
		if foot == "" {
			fmt.Fprint(s.out, "\r")
		}
	}
	s.foot = foot
}

// toLog has everything after this said in the system's log, if there is one.
func (s *screen) toLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out, s.prefix = io.Discard, ""
	if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, "lunserve"); err == nil {
		s.out = w
	}
}

// Write writes whole lines. It is for what is no message, such as a trace.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	foot := s.foot
	s.draw("")
	n, err := s.out.Write(p)
	s.draw(foot)
	return n, err
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
	return strings.ReplaceAll(err.Error(), "\n", "; also ")
}
