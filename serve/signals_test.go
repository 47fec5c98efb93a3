package serve

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
)

// Signals that come during an upgrade are kept. If it fails none is lost.
func TestHeldSignalsCome(t *testing.T) {
	c := console.New(os.Stderr, "test")
	defer c.Close()
	s := newService(Options{}, c, starting)
	defer s.ignoreSignals()
	held, err := s.holdSignals()
	if err != nil {
		t.Fatal(err)
	}
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP}
	for n, sig := range signals {
		if err := unix.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		for end := time.Now().Add(30 * time.Second); st.Size <= int64(n); time.Sleep(time.Millisecond) {
			if err := unix.Fstat(held.fd, &st); err != nil || time.Now().After(end) {
				t.Fatalf("%d signals are held, %v", st.Size, err)
			}
		}
	}
	if n := len(s.stopSignals) + len(s.userSignals); n > 0 {
		t.Errorf("%d signals came before the release", n)
	}
	if err := held.release(); err != nil {
		t.Fatal(err)
	}
	for n, ch := range []chan os.Signal{s.stopSignals, s.userSignals, s.userSignals} {
		select {
		case sig := <-ch:
			if sig != signals[n] {
				t.Errorf("it is %v, not %v", sig, signals[n])
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a signal is lost")
		}
	}
}

// A child of the program before is a child of this one: both are one process.
func TestCommandOfTheProgramBeforeIsAwaited(t *testing.T) {
	for script, want := range map[string]error{"exit 0": nil, "exit 7": ExitStatus(7), "kill -9 $$": ExitStatus(128 + 9), "exec sleep 60": ExitStatus(128 + 15)} {
		cmd := exec.Command("/bin/sh", "-c", script)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s := &service{taken: &handOver{Command: cmd.Process.Pid}, options: Options{Command: cmd.Args}}
		var down configfs.Undo
		if err := s.startCommand(&down); err != nil {
			t.Fatal(err)
		}
		if script != "exec sleep 60" {
			<-s.command.end()
		}
		if err := down.Close(); err != nil {
			t.Error(err)
		}
		if got := s.command.status(); got != want {
			t.Errorf("%s: the status is %v, want %v", script, got, want)
		}
	}
}
