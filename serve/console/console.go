package console

import (
	"fmt"
	"io"
	"log"
	"log/syslog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// A Console prints lines for a person: to standard error, or to the system's log
// once the process is in the background. On a terminal a status line can stand
// below them. Lines and status are made visible, as by a [Printer]. A line that
// cannot be written is lost. Its methods are safe for concurrent use and wait at
// most a second.
type Console struct {
	mu        sync.Mutex
	out       *Writer
	terminal  *os.File // nil unless out is one
	prefix    string   // of each line
	status    string   // the status line, if one is shown
	quiet     bool
	onWarning func(text string)
}

// New returns a console whose lines begin with the program's name. The
// process has one, and closes it last. What package log is given is dropped from
// then on: net/http gives it bytes that a server sends.
func New(to io.Writer, program string) *Console {
	log.SetOutput(io.Discard)
	c := &Console{out: NewWriter(to), prefix: program + ": "}
	if f, ok := to.(*os.File); ok && Columns(f) > 0 && os.Getenv("TERM") != "dumb" {
		c.terminal = f
	}
	return c
}

// SetQuiet suppresses Say.
func (c *Console) SetQuiet(quiet bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = quiet
}

// OnWarning sets a function that is also called with each warning.
func (c *Console) OnWarning(f func(text string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onWarning = f
}

// Say prints progress and results. They are not printed with --quiet.
func (c *Console) Say(format string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.quiet {
		c.line(fmt.Sprintf(format, a...))
	}
}

// Print prints a line even with --quiet.
func (c *Console) Print(format string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line(fmt.Sprintf(format, a...))
}

// Error prints an error and what to type.
func (c *Console) Error(err error) { c.Print("%s", hint.Text(err)) }

// Warn prints an error that does not end the program.
func (c *Console) Warn(err error) {
	text := hint.Text(err)
	c.mu.Lock()
	c.line("warning: " + text)
	hook := c.onWarning
	c.mu.Unlock()
	if hook != nil {
		hook(text)
	}
}

// SetStatus shows a line below all others, in place of the previous one. An
// empty line removes it. Nothing is drawn unless the console is a terminal, nor
// while that terminal is stopped.
func (c *Console) SetStatus(line string) {
	line = hint.Visible(line)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.terminal == nil || line == c.status || line != "" && c.out.Stalled() {
		return
	}
	_, _ = c.out.write([]byte(draw(line)))
	c.status = line
}

// draw returns the bytes that replace the status line.
func draw(status string) string {
	if status == "" {
		return "\r\x1b[K\r"
	}
	return "\r" + status + "\x1b[K"
}

// StatusWidth returns how many columns a status line may take, 0 if it is not
// shown: not on the terminal of a shell that has this process in the background.
// It leaves room for the ^C that the terminal echoes: otherwise the line would
// wrap, and half of it would stay.
func (c *Console) StatusWidth() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.terminal == nil || inBackground(c.terminal) {
		return 0
	}
	return max(0, Columns(c.terminal)-len("^C")-1)
}

// Columns returns how wide f is, 0 if it is not a terminal.
func Columns(f *os.File) int {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return 0
	}
	if w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && w.Col > 0 {
		return int(w.Col)
	}
	return 80
}

// UseSyslog sends what is printed from now on to the system's log, if there is
// one.
func (c *Console) UseSyslog(program string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prefix, c.terminal = "", nil
	old := c.out
	if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_WARNING, program); err == nil {
		c.out = NewWriter(w)
	} else {
		c.out = NewWriter(io.Discard)
	}
	_ = old.Close()
}

// Lines prints texts that are not messages, such as those of a trace, each as a
// line.
func (c *Console) Lines(texts ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(lines(texts...))
}

// Flush removes the status line and prints what is still queued, as far as it is
// read within a second.
func (c *Console) Flush() error {
	c.SetStatus("")
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Flush()
}

// Close prints what is still queued, as far as it is read within a second.
func (c *Console) Close() error {
	c.SetStatus("")
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Close()
}

func (c *Console) line(text string) { _ = c.write(lines(c.prefix + text)) }

// write writes lines above the status line.
func (c *Console) write(lines string) error {
	if c.status != "" {
		lines = draw("") + lines + draw(c.status)
	}
	_, err := c.out.write([]byte(lines))
	return err
}
