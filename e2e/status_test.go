package e2e

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// On a terminal a line tells what the disk does, and is gone at the end.
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
		io.Copy(screen, person) // until nobody has the other end
		screen.close()
	}()
	screen.await(t, `^lunserve: `+image+`: sparse, 16 MiB, writable\r\n`)
	screen.await(t, `\r`+disk+`: read \d+/s \S+ \S+/s, write \d+/s \S+ \S+/s, .*depth \d+\x1b\[K`)
	if status := s.stop(os.Interrupt); status != 0 {
		t.Errorf("exit status %d", status)
	}
	screen.await(t, `\r\x1b\[K\rlunserve: `+disk+` removed; `)
}

// Who asked for quiet is shown none, nor is a file or pipe.
func TestNoStatusLine(t *testing.T) {
	needTarget(t)
	program, person := terminal(t)
	cmd := exec.Command(binary, "-q", newImage(t, tmpfsDir(t), 16<<20))
	cmd.Stderr = program
	quiet := launch(t, cmd)
	quiet.line()
	program.Close()
	piped := start(t, newImage(t, tmpfsDir(t), 16<<20))

	// Each takes a second, in which a line would be drawn.
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
