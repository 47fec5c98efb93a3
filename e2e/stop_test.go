package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// job starts lunserve as a job of a shell on a terminal of its own. screen is what
// the terminal shows, and typed is what a person types.
func job(t *testing.T, line string, args ...string) (s *server, screen *record, typed io.Writer) {
	t.Helper()
	program, person := terminal(t)
	cmd := exec.Command("sh", append([]string{"-c", "set -m; " + line, binary}, args...)...)
	cmd.Stdin, cmd.Stderr = program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s = launch(t, cmd)
	program.Close()
	screen = newRecord()
	go func() {
		io.Copy(screen, person) // until the other end is closed
		screen.close()
	}()
	return s, screen, person
}

// isStopped reports whether a process is stopped as by ^Z. Then it continues it.
func isStopped(t *testing.T, pid int) bool {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "\nState:\tT") {
		return false
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	return true
}

// The shell would wait for its own disk.
func TestSuspendKeyIsRefused(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s, screen, typed := job(t, `"$0" "$1"; echo $?`, image)
	disk, pid := s.line(), serverOf(t, image)
	for n := 1; n <= 2; n++ {
		fmt.Fprint(typed, "\x1a")
		screen.await(t, fmt.Sprintf(`(?s)(lunserve: \^Z is refused: .* would hang; try --fork to serve in the background.*){%d}`, n))
		if isStopped(t, pid) {
			t.Error("it is stopped")
		}
		write(t, disk, 0, noise(1<<20, byte(n)))
		holds(t, image, 0, noise(1<<20, byte(n)))
	}
	fmt.Fprint(typed, "\x03")
	if status := s.line(); status != "0" {
		t.Errorf("exit status %s after ^C", status)
	}
	s.wait()
}

// Otherwise the command would be stopped, and nobody could continue it.
func TestSuspendKeyDoesNotStopTheCommand(t *testing.T) {
	needTarget(t)
	s, screen, typed := job(t, `"$0" "$1" -- sh -c 'echo $$; read -r line; echo "$line"'; echo $?`, newImage(t, tmpfsDir(t), 16<<20))
	s.line()
	fmt.Fprint(typed, "\x1a")
	screen.await(t, `\^Z is refused`)
	fmt.Fprint(typed, "typed\n")
	if got := s.line() + " " + s.line(); got != "typed 0" {
		t.Errorf("it printed %q", got)
	}
	s.wait()
}

// In the background it neither stops when it prints a message, nor draws over
// what the shell does.
func TestJobInTheBackgroundPrintsAndDoesNotStop(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s, screen, _ := job(t, `stty tostop; "$0" "$1" & wait; echo $?`, image)
	disk, pid := s.line(), serverOf(t, image)
	screen.await(t, `lunserve: `+image+`: sparse`)
	for _, sig := range []syscall.Signal{syscall.SIGTTOU, syscall.SIGTTIN} {
		syscall.Kill(pid, sig) // as another process of its group causes
	}
	time.Sleep(1500 * time.Millisecond) // a status line would appear
	if isStopped(t, pid) {
		t.Error("it is stopped")
	}
	write(t, disk, 0, noise(1<<20, 1))
	if said := screen.String(); strings.Contains(said, "\x1b[K") {
		t.Errorf("a status line: %q", said)
	}
	run(t, binary, "detach", image)
	if status := s.line(); status != "0" {
		t.Errorf("exit status %s", status)
	}
	s.wait()
}
