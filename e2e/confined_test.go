package e2e

import (
	goflag "flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lunserve/lunserve/e2e/confinetest"
)

func TestMain(m *testing.M) {
	confinetest.Main()
	playFake()
	goflag.Parse()
	if testing.Verbose() {
		sayKernel()
	}
	os.Exit(m.Run())
}

// A fault in a confined process cannot open, execute, connect or mount, on this
// kernel either.
func TestFaultReachesNothing(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out := confinetest.Run(t, program); !strings.HasPrefix(out, "Landlock ABI ") {
		t.Errorf("it is confined by %s", out)
	}
}

// Once a disk is ready its server has given up what it needs no more, and its guard
// has not.
func TestGuardIsNotConfinedAsItsServer(t *testing.T) {
	needTarget(t)
	s := start(t, newImage(t, tmpfsDir(t), 16<<20))
	if got := status(t, s.cmd.Process.Pid); got != "NoNewPrivs 1, Seccomp 2, CapEff 000000000120140b" {
		t.Errorf("the server has %s", got)
	}
	if got := status(t, guardOf(t, s.cmd.Process.Pid)); !strings.HasPrefix(got, "NoNewPrivs 0, Seccomp 0, ") {
		t.Errorf("the guard has %s", got)
	}
	if got := strings.Join(list(t)[0].Confined, ", "); !regexp.MustCompile(`^Landlock ABI \d+, seccomp, capabilities, no_new_privs$`).MatchString(got) {
		t.Errorf("listed is %q", got)
	}
	s.ends()
}

// No upgrade returns what a server has given up. The new guard is not confined: it
// still finds the users of the disk.
func TestUpgradedServerIsConfined(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image := newImage(t, dir, 16<<20)
	s := startProgram(t, install(t, dir), image)
	server := s.cmd.Process.Pid
	before, confined := status(t, server), list(t)[0].Confined
	background(t, exec.Command("sh", "-c", `exec sleep 1000 <"$0"`, s.disks[0]))
	for n := range 3 {
		guard, spare := guardOf(t, server), childOf(t, server, "lun-spare", 0)
		install(t, dir)
		s.upgrade(n + 1)
		if now := status(t, server); now != before {
			t.Errorf("the server has %s, had %s", now, before)
		}
		if now := list(t)[0].Confined; !slices.Equal(now, confined) {
			t.Errorf("listed is %q, was %q", now, confined)
		}
		if now := status(t, childOf(t, server, "lun-guard", guard)); !strings.HasPrefix(now, "NoNewPrivs 0, Seccomp 0, ") {
			t.Errorf("the guard has %s", now)
		}
		childOf(t, server, "lun-spare", spare)
		if out := fails(t, binary, "detach", image); !strings.Contains(out, "opened by sleep") {
			t.Errorf("detach says %q", out)
		}
	}
}

// A command can do what it could without lunserve.
func TestCommandIsNotConfined(t *testing.T) {
	needTarget(t)
	out, err := exec.Command(binary, newImage(t, tmpfsDir(t), 16<<20), "--", "sh", "-c",
		"cat /etc/shadow >/dev/null && grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status").CombinedOutput()
	if err != nil || !regexp.MustCompile(`NoNewPrivs:\t0\nSeccomp:\t0\n`).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
}

// A killed guard is replaced by one that is not confined either: it still sees which
// processes use a disk.
func TestGuardThatReplacesAnotherSeesProcesses(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, image)
	t.Run("in use", func(t *testing.T) {
		background(t, exec.Command("sh", "-c", `exec sleep 1000 <"$0"`, s.disks[0]))
		for range 2 {
			guard, spare := guardOf(t, s.cmd.Process.Pid), childOf(t, s.cmd.Process.Pid, "lun-spare", 0)
			if err := syscall.Kill(guard, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if now := childOf(t, s.cmd.Process.Pid, "lun-guard", guard); now != spare {
				t.Errorf("the guard is %d, the spare one was %d", now, spare)
			}
			if got := status(t, spare); !strings.HasPrefix(got, "NoNewPrivs 0, Seccomp 0, ") {
				t.Errorf("the guard has %s", got)
			}
			childOf(t, s.cmd.Process.Pid, "lun-spare", spare) // the next
		}
		if out := fails(t, binary, "detach", image); !strings.Contains(out, "opened by sleep") {
			t.Errorf("detach says %q", out)
		}
	})
	s.ends()
}

// If no guard is left that is not confined, there is one that is. It does not see
// processes, and takes the place of the server all the same.
func TestConfinedGuardGuards(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir := tmpfsDir(t)
	image, pidFile := newImage(t, dir, 16<<20), dir+"/pid"
	s := start(t, "--restart", "--loopback", "--iscsi", "--pid-file="+pidFile, "--trace="+dir+"/trace", image)
	s.line() // the URL
	server := s.cmd.Process.Pid
	guard, spare := guardOf(t, server), childOf(t, server, "lun-spare", 0)
	s.signal(syscall.SIGSTOP)
	for _, pid := range []int{spare, guard} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	s.signal(syscall.SIGCONT)
	s.stderr.await(t, `the guard was killed, and there is another; it is no longer seen which processes use the disks\n`)
	second := childOf(t, server, "lun-guard", guard)
	if got := status(t, second); !strings.HasPrefix(got, "NoNewPrivs 1, Seccomp 2, ") {
		t.Errorf("the guard has %s", got)
	}
	s.signal(syscall.SIGKILL)
	pid := serverOf(t, image, server)
	if d := list(t); len(d) != 1 || d[0].Device != s.disks[0] {
		t.Errorf("listed are %+v", d)
	}
	if pid != second {
		t.Errorf("the guard was %d, the server is %d", second, pid)
	}
	// It may not write a pid file, and so removes that of the server.
	for end := time.Now().Add(30 * time.Second); exists(pidFile) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	run(t, "mkfs.ext4", "-q", s.disks[0])
	run(t, binary, "detach", image)
	s.wait()
	if exists(pidFile) {
		t.Error("the pid file is left")
	}
}

// status returns what confines a process.
func status(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, key := range []string{"NoNewPrivs", "Seccomp", "CapEff"} {
		m := regexp.MustCompile(`(?m)^` + key + `:\t(\S+)$`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s:\n%s", key, text)
		}
		all = append(all, key+" "+string(m[1]))
	}
	return strings.Join(all, ", ")
}
