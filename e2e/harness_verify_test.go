package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A verifier is fio, which writes a file or disk at random and verifies it.
type verifier struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     *record
	stopped bool
	ended   chan error
}

// verify starts fio, until stop. fio is killed at the end of t at the latest.
func verify(t *testing.T, file string, more ...string) *verifier {
	t.Helper()
	need(t, "fio")
	if strings.HasPrefix(file, "/dev/") {
		more = append(more, "--allow_file_create=0") // the disk may be gone by then
	}
	v := &verifier{t: t, out: newRecord(), ended: make(chan error, 1)}
	v.cmd = exec.Command("fio", append([]string{
		"--name=verify", "--filename=" + file, "--size=24m", "--rw=randwrite", "--bs=16k", "--ioengine=libaio", "--iodepth=16", "--direct=1",
		"--verify=crc32c", "--verify_backlog=128", "--verify_fatal=1", "--verify_dump=0", "--verify_state_save=0",
		"--time_based", "--runtime=1d", "--aux-path=/tmp", "--output-format=terse", "--terse-version=3",
	}, more...)...)
	v.cmd.Stdout, v.cmd.Stderr = v.out, v.out
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { v.ended <- v.cmd.Wait() }()
	t.Cleanup(func() {
		v.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("fio on %s said:\n%s", file, v.out)
		}
	})
	return v
}

// verifying starts fio for some time. wait returns its error and worst latencies.
func verifying(t *testing.T, file string, seconds string, more ...string) (wait func() (worst string, err error)) {
	t.Helper()
	return verify(t, file, append(more, "--runtime="+seconds)...).wait
}

// stop stops fio, and returns its error and worst latencies.
func (v *verifier) stop() (worst string, err error) {
	v.t.Helper()
	v.stopped = true
	v.cmd.Process.Signal(os.Interrupt)
	return v.wait()
}

// ends stops fio and expects that it saw no error.
func (v *verifier) ends() {
	v.t.Helper()
	worst, err := v.stop()
	v.t.Logf("%s: %s", v.cmd.Args[2], worst)
	if err != nil {
		v.t.Error(err)
	}
}

// awaitEnd waits until fio has ended because its disk is gone. Before that there must be no
// other disk of the name: fio takes a name that it did not find at first for that of a
// file, and unlinks it before it makes the file.
func (v *verifier) awaitEnd() {
	v.t.Helper()
	select {
	case <-v.ended:
	case <-time.After(timeLimit):
		v.t.Fatalf("fio still runs:\n%s", v.out)
	}
}

func (v *verifier) wait() (worst string, err error) {
	v.t.Helper()
	select {
	case err = <-v.ended:
	case <-time.After(timeLimit):
		v.cmd.Process.Kill()
		v.t.Fatalf("fio still runs:\n%s", v.out)
	}
	// The terse line comes after what fio says of a signal.
	_, terse, _ := strings.Cut("\n"+v.out.String(), "\n3;")
	f := strings.Split("3;"+terse, ";")
	if len(f) < 80 {
		return v.out.String(), fmt.Errorf("fio: no result: %v", err)
	}
	if v.stopped && v.cmd.ProcessState.ExitCode() == 128 && f[4] == "0" {
		err = nil // it was interrupted, and verified all up to then
	}
	if err != nil {
		v.t.Logf("fio:\n%s", v.out)
	}
	return fmt.Sprintf("error %s, worst read %s µs, write %s µs", f[4], f[38], f[79]), err
}
