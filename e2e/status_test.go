package e2e

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// On a terminal, the status line is updated each second and removed at the end.
func TestStatusLine(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	program, person := terminal(t)
	cmd := exec.Command(binary, image)
	cmd.Stderr = program
	s := launch(t, cmd)
	disk := s.line()
	program.Close()
	screen := newRecord()
	go func() {
		io.Copy(screen, person) // until the other end is closed
		screen.close()
	}()
	screen.await(t, `^lunserve: `+image+`: sparse, 16 MiB, writable\r\n`)
	screen.await(t, `\r`+disk+`: read \d+/s \S+ \S+/s, write \d+/s \S+ \S+/s, .*depth \d+\x1b\[K`)
	if status := s.stop(os.Interrupt); status != 0 {
		t.Errorf("exit status %d", status)
	}
	screen.await(t, `\r\x1b\[K\rlunserve: `+disk+` removed; `)
}

// It was started from a terminal, which it must not use after that.
func TestNoStatusLineInTheBackground(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	program, person := terminal(t)
	cmd := exec.Command(binary, "--fork", image)
	cmd.Stderr = program
	s := launch(t, cmd)
	disk := s.line()
	if status := s.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	program.Close()
	if said, _ := io.ReadAll(person); string(said) != "lunserve: "+image+": sparse, 16 MiB, writable\r\n" {
		t.Errorf("on the terminal: %q", said)
	}
	run(t, binary, "stats") // takes a second, in which a line would appear
	run(t, binary, "stats")
	if disks := list(t); len(disks) != 1 || disks[0].Dead || disks[0].Device != disk {
		t.Errorf("listed are %+v, want %s alive", disks, disk)
	}
	run(t, binary, "detach", "--force", image)
}

// The disk can still be removed when the terminal is gone.
func TestStatusLineOfATerminalThatHangsUp(t *testing.T) {
	needTarget(t)
	program, person := terminal(t)
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec "$0" "$1"`, binary, newImage(t, tmpfsDir(t), 16<<20))
	cmd.Stdin, cmd.Stderr = program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := launch(t, cmd)
	disk := s.line()
	program.Close()
	person.Close()
	run(t, binary, "stats")
	run(t, binary, "stats")
	if status := s.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if exists(disk) {
		t.Errorf("%s is still there", disk)
	}
}

// There is none with -q and none on a file or pipe.
func TestNoStatusLine(t *testing.T) {
	needTarget(t)
	program, person := terminal(t)
	cmd := exec.Command(binary, "-q", newImage(t, tmpfsDir(t), 16<<20))
	cmd.Stderr = program
	quiet := launch(t, cmd)
	quiet.line()
	program.Close()
	piped := start(t, newImage(t, tmpfsDir(t), 16<<20))

	// Each takes a second, in which a line would appear.
	run(t, binary, "stats")
	run(t, binary, "stats")
	quiet.ends()
	piped.ends()
	if said, _ := io.ReadAll(person); len(said) > 0 {
		t.Errorf("with -q: %q", said)
	}
	if said := piped.stderr.String(); strings.ContainsAny(said, "\r\x1b") {
		t.Errorf("to a pipe: %q", said)
	}
}
