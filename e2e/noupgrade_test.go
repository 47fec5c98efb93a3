package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What lies at the path is tried before anything is given up.
func TestBadProgramIsNotExecuted(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	program := install(t, dir)
	good, image := filepath.Join(dir, "good"), newImage(t, dir, 32<<20)
	if err := os.Link(program, good); err != nil {
		t.Fatal(err)
	}
	s := startProgram(t, program, image)
	wait := verifying(t, s.disks[0], "10")
	for n, tt := range []struct {
		name, want string
		install    func()
	}{
		{"nothing", "no such file", func() { os.Remove(program) }},
		{"not executable", "permission denied", func() { replace(t, program, []byte("\x7fELF, or so"), 0o644) }},
		{"not a program", "exec format error", func() { replace(t, program, []byte("\x7fELF, or so"), 0o755) }},
		{"fails", "exit status 3: it is broken", func() { fake{Version: version(t), Err: "it is broken\n"}.install(t, program) }},
		{"another program", "is not a lunserve that can take over", func() { fake{Version: "1.0"}.install(t, program) }},
		{"another schema", "is not a lunserve that can take over", func() { fake{Version: "lunserve v9\nhand-over 9"}.install(t, program) }},
		{"vanishes when all is handed over", "lunserve: no such file", func() { vanishing(t, program) }},
		{"vanishes again", "lunserve: no such file", func() { vanishing(t, program) }},
	} {
		tt.install()
		s.signal(syscall.SIGUSR2)
		said := s.stderr.await(t, fmt.Sprintf(`(?s)^(?:.*?(warning: not upgraded, the disks stay: [^\n]*)\n){%d}`, n+1))
		if !strings.Contains(said[1], tt.want) {
			t.Errorf("%s: it says %q", tt.name, said[1])
		}
		if d := list(t); len(d) != 1 || d[0].Device != s.disks[0] || d[0].PID != s.cmd.Process.Pid {
			t.Errorf("%s: listed are %+v", tt.name, d)
		}
	}
	if err := os.Link(good, program); err != nil {
		t.Fatal(err)
	}
	t.Log(s.upgrade(1))
	worst, err := wait()
	t.Logf("fio: %s", worst)
	if err != nil {
		t.Error(err)
	}
	s.ends()
}

// vanishing installs a program that is removed after it has printed its version.
func vanishing(t *testing.T, program string) {
	t.Helper()
	gate := filepath.Join(t.TempDir(), "gate")
	l, err := net.Listen("unix", gate)
	if err != nil {
		t.Fatal(err)
	}
	fake{Version: version(t), Gate: gate}.install(t, program)
	go func() {
		defer l.Close()
		if c, err := l.Accept(); err == nil {
			os.Remove(program)
			c.Close()
		}
	}()
}

// A program that fails when it has been executed has the guard's help: the guard
// runs the program before.
func TestFailedUpgradeIsTheGuards(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart=", restart), func(t *testing.T) {
			needTarget(t)
			dir := tmpfsDir(t)
			program, image := install(t, dir), newImage(t, dir, 64<<20)
			s := startProgram(t, program, fmt.Sprint("--restart=", restart), image)
			fake{Version: version(t)}.install(t, program)
			var wait func() (string, error)
			if restart {
				wait = verifying(t, s.disks[0], "6")
				time.Sleep(time.Second)
			}
			s.signal(syscall.SIGUSR2)
			if !restart {
				t.Logf("removed after %v", awaitNoDisks(t))
			} else {
				pid := serverOf(t, image, s.cmd.Process.Pid)
				worst, err := wait()
				t.Logf("fio: %s", worst)
				if err != nil {
					t.Error(err)
				}
				if d := list(t); len(d) != 1 || d[0].Device != s.disks[0] || d[0].PID != pid {
					t.Errorf("listed are %+v", d)
				}
				run(t, binary, "detach", image)
			}
			if s.wait() != 3 {
				t.Errorf("exit status %d", s.status)
			}
		})
	}
}

// The kernel reports a page that it could not write to the next flush. An upgrade does
// not take that report away.
func TestUpgradeKeepsTheErrorOfAFlush(t *testing.T) {
	needTarget(t)
	d := newStorage(t, 64<<20)
	s := startProgram(t, install(t, tmpfsDir(t)), d.path)
	flush := func(path string) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return f.Sync()
	}
	d.fail() // which flushes
	run(t, "dd", "if=/dev/zero", "of="+s.disks[0], "bs=1M", "count=1", "oflag=direct")
	if err := flush(d.path); err == nil { // of the host, not of the server
		t.Fatal("a flush of storage that fails succeeds")
	}
	d.heal()
	t.Log(s.upgrade(1))
	if err := flush(s.disks[0]); !errors.Is(err, syscall.EREMOTEIO) {
		t.Errorf("the first flush after the upgrade: %v", err)
	}
	if err := tryWrite(s.disks[0], 0, noise(1<<20, 1)); err != nil {
		t.Errorf("the second: %v", err)
	}
	s.ends()
}

// A disk whose storage hangs does not halt the others: there is no upgrade, whether
// that is known at once or not.
func TestHungStorageIsNotUpgraded(t *testing.T) {
	needTarget(t)
	hung, dir := newStorage(t, 64<<20), tmpfsDir(t)
	s := startProgram(t, install(t, dir), hung.path, newImage(t, dir, 16<<20))
	hung.suspend()
	load := flushing(t, s.disks[0], s.cmd.Process.Pid)
	s.stderr.await(t, `a flush has been waiting for the storage for [^\n]*; try dmesg`)
	for n := range 3 {
		s.signal(syscall.SIGUSR2)
		const line = `warning: not upgraded, the disks stay: %s: a flush has been waiting for the storage for [^\n]*s; try kill -USR2 %d to upgrade later\n`
		s.stderr.await(t, fmt.Sprintf(`(?s)^(?:.*?`+line+`){%d}`, hung.path, s.cmd.Process.Pid, n+1))
		for _, disk := range s.disks { // what is in memory
			run(t, "dd", "if="+disk, "of=/dev/null", "bs=4k", "count=16", "iflag=direct")
		}
		if d := list(t); len(d) != 2 {
			t.Errorf("listed are %+v", d)
		}
	}
	hung.resume()
	if err := load.Wait(); err != nil {
		t.Error(err)
	}
	t.Log(s.upgrade(1))
	s.ends()
}

// Before the rings are halted it is the preparation that waits for storage which hangs:
// an idle disk on it does not halt the others.
func TestIdleHungStorageIsNotUpgraded(t *testing.T) {
	needTarget(t)
	hung, dir := newStorage(t, 64<<20), tmpfsDir(t)
	s := startProgram(t, install(t, dir), hung.path, newImage(t, dir, 16<<20))
	run(t, "blockdev", "--flushbufs", hung.path) // so that it has to be read
	hung.suspend()
	for n := range 2 {
		s.signal(syscall.SIGUSR2)
		s.stderr.await(t, fmt.Sprintf(`(?s)^(?:.*?warning: not upgraded yet, the disks stay: [^\n]*\n){%d}`, n+1))
		run(t, "dd", "if="+s.disks[1], "of=/dev/null", "bs=4k", "count=16", "iflag=direct")
	}
	hung.resume()
	s.stderr.await(t, `upgraded to lunserve[^\n]*\n`)
	s.ends()
}

// A confined server may execute a new program only in a folder of programs. It says so.
func TestUpgradeElsewhereIsRefused(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	program := replace(t, filepath.Join(dir, "lunserve"), text, 0o755)
	s := startProgram(t, program, newImage(t, dir, 16<<20))
	replace(t, program, text, 0o755)
	s.signal(syscall.SIGUSR2)
	s.stderr.await(t, `warning: not upgraded, the disks stay: \S+: permission denied: a server executes a new program only in a folder called bin or sbin, so restart it\n`)
	s.ends()
}
