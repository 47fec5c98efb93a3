package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve"
	"github.com/lunserve/lunserve/serve/console"
)

// The console prints the error, so that it reaches the system's log in the
// background.
func TestErrorsDecideTheExitStatus(t *testing.T) {
	for _, tt := range []struct {
		err     error
		status  int
		printed string
	}{
		{nil, 0, ""},
		{serve.ExitStatus(7), 7, ""},
		{errors.Join(errors.New("a"), errors.New("b")), 1, "lunserve: a; also b\n"},
		{misuse("no"), 2, "lunserve: no\n"},
		{hint.Try(misuse("no"), "yes"), 2, "lunserve: no; try yes\n"},
		{errors.Join(serve.NotRunnable(fmt.Errorf("x: %w", exec.ErrNotFound))), 127, "lunserve: x: executable file not found in $PATH\n"},
		{serve.NotRunnable(errors.New("x")), 126, "lunserve: x\n"},
	} {
		var printed strings.Builder
		c := console.New(&printed, "lunserve")
		if status := status(tt.err, nil, c); status != tt.status || printed.String() != tt.printed {
			t.Errorf("status(%v) = %d, and %q is printed; want %d, %q", tt.err, status, printed.String(), tt.status, tt.printed)
		}
		c.Close()
	}
}

// As of a program that SIGPIPE kills: lunserve list | head -1.
func TestEndOfTheReaderIsSilent(t *testing.T) {
	for _, args := range [][]string{{"completion", "bash"}, {"doctor", "--json"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := exec.Command("lunserve", args...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = w, &stderr
		err = cmd.Run()
		w.Close()
		if cmd.ProcessState.ExitCode() != 141 || stderr.Len() > 0 {
			t.Errorf("lunserve %q: %v, and %q is printed", args, err, stderr.String())
		}
	}
}

// pkill -USR2 -x lunserve is for processes that serve disks. Others do not notice: Go
// takes no action on these signals.
func TestSignalsForServersEndNoOther(t *testing.T) {
	r, w, err := os.Pipe()
	if err == nil {
		_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096) // less than it prints
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("lunserve", "completion", "bash")
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it has started, and waits
		t.Fatal(err)
	}
	for _, sig := range []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Error(err)
		}
	}
	if n, err := io.Copy(io.Discard, r); n < 4096 || err != nil {
		t.Errorf("it has printed %d bytes more, %v", n, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
