package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A server is a lunserve that has printed the paths of its disks.
type server struct {
	t      *testing.T
	cmd    *exec.Cmd
	disks  []string
	stdout *bufio.Reader
	stderr *record
	exited chan struct{} // closed when all of the process is gone
	status int           // once exited
}

// start starts lunserve and waits for its disks, of which there are as many as
// arguments that are no flags: flags with a value are written as --flag=value.
// The server is stopped when t ends, at the latest.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	s := launch(t, exec.Command(binary, args...))
	images := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })
	for range images {
		s.disks = append(s.disks, s.line())
	}
	for _, disk := range s.disks {
		if fi, err := os.Stat(disk); err != nil || fi.Mode().Type() != os.ModeDevice {
			t.Fatalf("%s was printed and is no block device: %v, %v", disk, fi, err)
		}
	}
	return s
}

// launch starts a command that is or becomes lunserve, and waits for nothing.
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

// line is the next line on stdout.
func (s *server) line() string {
	s.t.Helper()
	timer := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
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

// stop sends a signal, and does what wait does.
func (s *server) stop(sig os.Signal) int {
	s.t.Helper()
	s.signal(sig)
	return s.wait()
}

// wait waits for the end, holds stdout to the paths alone, and returns the exit
// status.
func (s *server) wait() int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.cmd.Process.Kill()
		s.t.Fatalf("%v: still running after %v\n%s", s.cmd.Args, patience, s.stderr)
	}
	if rest, _ := io.ReadAll(s.stdout); len(rest) > 0 {
		s.t.Errorf("more on stdout than the paths: %q", rest)
	}
	return s.status
}

// ends stops the server by ^C, and expects it to be content.
func (s *server) ends() {
	s.t.Helper()
	if status := s.stop(os.Interrupt); status != 0 {
		s.t.Errorf("exit status %d after ^C\n%s", status, s.stderr)
	}
}

// did is what the server says that it did with one disk, when it has ended.
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

// A record is a text that grows and can be waited for.
type record struct {
	mu     sync.Mutex
	text   []byte
	closed bool
	grown  *sync.Cond
}

func newRecord() *record {
	r := new(record)
	r.grown = sync.NewCond(&r.mu)
	return r
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, p...)
	r.grown.Broadcast()
	return len(p), nil
}

func (r *record) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.grown.Broadcast()
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

// await waits until the text has a match for the pattern, and returns it with
// its submatches. That it never will fails t.
func (r *record) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("not in %v", patience))
	defer cancel()
	defer context.AfterFunc(ctx, r.grown.Broadcast)()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if m := re.FindStringSubmatch(string(r.text)); m != nil {
			return m
		}
		if r.closed || ctx.Err() != nil {
			t.Fatalf("stderr has no %q (%v):\n%s", pattern, context.Cause(ctx), r.text)
		}
		r.grown.Wait()
	}
}
