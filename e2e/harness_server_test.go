package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server is a lunserve process.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	disks  []string // as printed on stdout
	stdout *bufio.Reader
	stderr *record
	exited chan struct{} // closed when the process has ended and its stderr is closed
	status int           // the exit status, once exited
}

// start starts lunserve and waits for its disks: one for each argument that is not
// a flag. Flags with a value must be written as --flag=value. The server is
// stopped at the end of t at the latest.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	return startProgram(t, binary, args...)
}

// startProgram is start for another lunserve.
func startProgram(t *testing.T, program string, args ...string) *server {
	t.Helper()
	s := launch(t, exec.Command(program, args...))
	images := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })
	for range images {
		s.disks = append(s.disks, s.line())
	}
	for _, disk := range s.disks {
		if fi, err := os.Stat(disk); err != nil || fi.Mode().Type() != os.ModeDevice {
			t.Fatalf("%s was printed and is not a block device: %v, %v", disk, fi, err)
		}
	}
	return s
}

// launch starts a command that is or becomes lunserve. It does not wait for disks.
func launch(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Stdout == nil {
		cmd.Stdout = stdout
	}
	s := &server{t: t, cmd: cmd, stdout: bufio.NewReader(out), stderr: newRecord(), exited: make(chan struct{})}
	if cmd.Stderr == nil {
		cmd.Stderr = s.stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	go func() {
		cmd.Wait()
		s.status = cmd.ProcessState.ExitCode()
		s.stderr.close()
		close(s.exited)
	}()
	t.Cleanup(func() {
		if s.running() {
			s.stop(syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("stderr of %v:\n%s", cmd.Args, s.stderr)
		}
		out.Close()
	})
	return s
}

func (s *server) running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// line returns the next line on stdout.
func (s *server) line() string {
	s.t.Helper()
	timer := time.AfterFunc(timeLimit, func() { s.cmd.Process.Kill() })
	defer timer.Stop()
	line, err := s.stdout.ReadString('\n')
	if err != nil {
		<-s.exited
		s.t.Fatalf("no path on stdout: %q, %v; exit status %d\n%s", line, err, s.status, s.stderr)
	}
	return strings.TrimSuffix(line, "\n")
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// stop sends a signal and waits.
func (s *server) stop(sig os.Signal) int {
	s.t.Helper()
	s.signal(sig)
	return s.wait()
}

// wait waits for the end and returns the exit status. It fails the test if there
// are more lines on stdout.
func (s *server) wait() int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(timeLimit):
		s.cmd.Process.Kill()
		s.t.Fatalf("%v: still running after %v\n%s", s.cmd.Args, timeLimit, s.stderr)
	}
	if rest, _ := io.ReadAll(s.stdout); len(rest) > 0 {
		s.t.Errorf("more on stdout than the paths: %q", rest)
	}
	return s.status
}

// ends stops the server by ^C and expects success.
func (s *server) ends() {
	s.t.Helper()
	if status := s.stop(os.Interrupt); status != 0 {
		s.t.Errorf("exit status %d after ^C\n%s", status, s.stderr)
	}
}

// did returns the numbers in the summary that the server prints about a disk at
// its end.
func (s *server) did(disk string) (reads, writes int) {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^lunserve: ` + disk + ` removed; ([\d,]+) reads \(.*\), ([\d,]+) writes \(.*\) in `).
		FindStringSubmatch(s.stderr.String())
	if m == nil {
		s.t.Fatalf("no summary of %s:\n%s", disk, s.stderr)
	}
	number := func(text string) int {
		n, _ := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
		return n
	}
	return number(m[1]), number(m[2])
}
