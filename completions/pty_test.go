package completions_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is the master side of a pseudoterminal that runs a shell.
type terminal struct {
	t       *testing.T
	f       *os.File
	pending []byte // output since the last prompt
	lines   int    // number of lines typed
}

// newTerminal starts a shell on a new terminal, and ends it at the end of the test.
func newTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, true); err != nil { // which Fd undid
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	// Wide enough that no shell wraps a line or asks before it prints a list.
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 200, Col: 2000}); err != nil {
		t.Fatal(err)
	}
	side, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = side, side, side
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &terminal{t: t, f: f}
}

// enter waits for the prompt and types a line. The prompt has the number of the
// line, because some shells draw it more than once. Nothing is typed ahead,
// because some shells drop that.
func (m *terminal) enter(keys string) {
	m.t.Helper()
	m.lines++
	prompt := fmt.Sprintf("ready:%d>", m.lines)
	m.f.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		if _, after, ok := bytes.Cut(m.pending, []byte(prompt)); ok {
			m.pending = after
			break
		}
		p := make([]byte, 4096)
		n, err := m.f.Read(p)
		if m.pending = append(m.pending, p[:n]...); err != nil {
			m.t.Fatalf("no prompt: %v\n%s", err, m.pending)
		}
	}
	if _, err := m.f.WriteString(keys); err != nil {
		m.t.Fatal(err)
	}
}
