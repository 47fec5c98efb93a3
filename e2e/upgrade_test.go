package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Five times a new program takes over, while disks are in use by all fabrics, one
// of them as a mounted file system. Their users see no error, and everything stays
// what it was.
func TestUpgradeKeepsTheDisks(t *testing.T) {
	needTarget(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	program, pidFile := install(t, dir), filepath.Join(dir, "pid")
	images := []string{newImage(t, dir, 64<<20), newImage(t, dir, 64<<20), newImage(t, dir, 64<<20)}
	i := newInitiator(t)
	s := startProgram(t, program, append([]string{"--loopback", "--iscsi", "--vhost", "--pid-file=" + pidFile}, images...)...)
	lines := []string{s.line(), s.line(), s.line(), s.line()} // three URLs and a WWPN
	n := i.node(itsName, lines[0])
	remote := n.login()
	run(t, "mkfs.ext4", "-q", s.disks[1])
	mount(t, s.disks[1], mnt)
	before, guard := list(t), guardOf(t, s.cmd.Process.Pid)
	waits := []func() (string, error){
		verifying(t, remote, "20", "--iodepth=64"), // the ring is never empty
		verifying(t, filepath.Join(mnt, "file"), "20", "--fsync=16"),
		verifying(t, s.disks[2], "20", "--iodepth=64"),
	}
	for round := range 5 {
		time.Sleep(time.Second + time.Duration(round)*300*time.Millisecond)
		install(t, dir)
		t.Log(s.upgrade(round + 1))
	}
	for k, wait := range waits {
		worst, err := wait()
		t.Logf("fio %d: %s", k, worst)
		if err != nil {
			t.Error(err)
		}
	}
	if exists(fmt.Sprintf("/proc/%d", guard)) {
		t.Error("the guard of the first program still runs")
	}
	if now := guardOf(t, s.cmd.Process.Pid); now == guard {
		t.Error("the guard is that of the first program")
	}
	if text, _ := os.ReadFile(pidFile); strings.TrimSpace(string(text)) != fmt.Sprint(s.cmd.Process.Pid) {
		t.Errorf("the pid file has %q", text)
	}
	after := list(t)
	if len(after) != len(before) {
		t.Fatalf("listed are %+v", after)
	}
	for k := range before {
		if a, b := after[k], before[k]; a.Name != b.Name || a.Device != b.Device || a.PID != s.cmd.Process.Pid || a.Dead {
			t.Errorf("listed is %+v, was %+v", a, b)
		}
	}
	n.logout()
	run(t, "umount", mnt)
	run(t, "e2fsck", "-fn", s.disks[1])
	s.ends()
	if reads, writes := s.did(s.disks[2]); reads < 100 || writes < 100 {
		t.Errorf("it counts %d reads and %d writes", reads, writes)
	}
	if exists(pidFile) {
		t.Error("the pid file is left")
	}
}

// The overlay is not closed and not opened: the new program goes on with its file,
// though its name and that of the base have changed.
func TestUpgradeGoesOnWithAnOverlay(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	program, image, over := install(t, dir), newImage(t, dir, 64<<20), filepath.Join(dir, "over.qcow2")
	s := startProgram(t, program, "--overlay="+over, image)
	move := func(from, to string) {
		for _, path := range []string{image, over} {
			if err := os.Rename(path+from, path+to); err != nil {
				t.Fatal(err)
			}
		}
	}
	move("", ".moved")
	wait := verifying(t, s.disks[0], "12")
	for round := range 5 {
		time.Sleep(time.Second)
		t.Log(s.upgrade(round + 1))
	}
	worst, err := wait()
	t.Logf("fio: %s", worst)
	if err != nil {
		t.Error(err)
	}
	s.ends()
	move(".moved", "")
	run(t, "qemu-img", "check", over)
}

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

// A signal at any time of an upgrade is not lost. While Go starts the new program it
// is a kill, after which the guard removes the disk.
func TestSignalDuringAnUpgrade(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	program, image := install(t, dir), newImage(t, dir, 16<<20)
	for round := range 16 {
		s := startProgram(t, program, image)
		s.signal(syscall.SIGUSR2)
		time.Sleep(time.Duration(round) * 20 * time.Millisecond)
		status := s.stop(syscall.SIGTERM)
		switch said := s.stderr.String(); {
		case status == 0:
			t.Logf("round %d: it ended; upgraded: %v", round, strings.Contains(said, "upgraded to"))
			s.did(s.disks[0])
		case status == -1 && strings.Contains(said, "was killed; removing its disks"):
			t.Logf("round %d: removed %v later by the guard", round, awaitNoDisks(t))
		default:
			t.Errorf("round %d: exit status %d\n%s", round, status, said)
		}
		if exists(s.disks[0]) {
			t.Fatalf("%s is still there", s.disks[0])
		}
	}
}

// The command stays a child of this process, and its status that of lunserve, even
// if it ends while the program changes.
func TestUpgradeKeepsTheCommand(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	program, image := install(t, dir), newImage(t, dir, 16<<20)
	for _, pause := range []string{"0", "0.02", "0.05", "0.1", "0.2", "1"} {
		script := "kill -USR2 $PPID; sleep " + pause + "; dd if=$dev of=/dev/null count=8 status=none iflag=direct; exit 7"
		out, err := exec.Command(program, "--run", script, image).CombinedOutput()
		if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 7 {
			t.Errorf("after %s s: %v\n%s", pause, err, out)
		}
		t.Logf("after %s s: upgraded: %v", pause, strings.Contains(string(out), "upgraded to"))
	}
	out, err := exec.Command(program, "--run", "kill -USR2 $PPID; sleep 2; kill $PPID; exec sleep 60", image).CombinedOutput()
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 128+int(syscall.SIGTERM) || !strings.Contains(string(out), "upgraded to") {
		t.Errorf("SIGTERM after an upgrade: %v\n%s", err, out)
	}
}

// A process in the background has another working directory than its arguments are
// relative to, and no standard streams.
func TestUpgradeInTheBackground(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	program, image := install(t, dir), newImage(t, dir, 16<<20)
	cmd := exec.Command(program, "--fork", "--restart", "--pid-file=pid", filepath.Base(image))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := list(t)[0]
	exe := func() string {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", before.PID))
		return link
	}
	for range 2 {
		install(t, dir)
		old := exe()
		if err := syscall.Kill(before.PID, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(timeLimit); exe() == old && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if after := list(t); len(after) != 1 || after[0].Name != before.Name || after[0].PID != before.PID || after[0].Device != before.Device {
			t.Errorf("listed is %+v, was %+v", after, before)
		}
	}
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", before.PID)); cwd != "/" {
		t.Errorf("its working directory is %s", cwd)
	}
	// The guard finds the image and the pid file too, and so does the next one.
	guard := guardOf(t, before.PID)
	if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(timeLimit); guardOf(t, before.PID) == guard && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	server := serverOf(t, image, before.PID)
	if d := list(t); len(d) != 1 || d[0].Device != before.Device {
		t.Errorf("listed is %+v, was %+v", d, before)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "pid")); strings.TrimSpace(string(text)) != fmt.Sprint(server) {
		t.Errorf("the pid file has %q, the server is %d", text, server)
	}
	run(t, binary, "detach", image)
	if exists(filepath.Join(dir, "pid")) {
		t.Error("the pid file is left")
	}
}

// Programs are told by an event. What would be lost is refused.
func TestUpgradeIsAnEvent(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	program, image, trace := install(t, dir), newImage(t, dir, 16<<20), filepath.Join(dir, "trace")
	s := launch(t, exec.Command(program, "--json", "--trace="+trace, image))
	if line := s.line(); !strings.Contains(line, `"event":"ready"`) {
		t.Fatal(line)
	}
	s.signal(syscall.SIGUSR2)
	if line := s.line(); !strings.Contains(line, `"event":"upgraded"`) || !strings.Contains(line, `"image":"`+image) {
		t.Errorf("it prints %s", line)
	}
	first, _ := os.ReadFile(trace)
	run(t, "dd", "if="+list(t)[0].Device, "of=/dev/null", "count=8", "iflag=direct")
	s.signal(syscall.SIGTERM)
	if line := s.line(); !strings.Contains(line, `"event":"exit"`) {
		t.Error(line)
	}
	s.wait()
	if all, _ := os.ReadFile(trace); len(first) == 0 || len(all) <= len(first) || !strings.HasPrefix(string(all), string(first)) {
		t.Errorf("the trace has %d bytes, had %d", len(all), len(first))
	}

	s = startProgram(t, program, "-s", image)
	s.signal(syscall.SIGUSR2)
	s.stderr.await(t, `warning: not upgraded, the disks stay: \S+: its writes are temporary\n`)
	s.ends()
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
