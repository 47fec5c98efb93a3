package e2e

import (
	"fmt"
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
