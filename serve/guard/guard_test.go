package guard

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain makes this program the guard that the tests start.
func TestMain(m *testing.M) {
	if StandsBy() {
		Await()
		return
	}
	os.Exit(m.Run())
}

// guards returns the processes that guard this one.
func guards(t *testing.T) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		stat, _ := os.ReadFile(dir + "/stat")
		var pid, parent int
		var state string
		if name := fmt.Sprintf("(%s)", Name); strings.Contains(string(stat), name) {
			fmt.Sscanf(strings.Replace(string(stat), name, "", 1), "%d %s %d", &pid, &state, &parent)
			if parent == os.Getpid() && state != "Z" {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// guardOtherThan waits for a guard.
func guardOtherThan(t *testing.T, before int) int {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if now := guards(t); len(now) == 1 && now[0] != before {
			return now[0]
		}
	}
	t.Fatal("no guard")
	return 0
}

func TestGuardLivesAsLongAsItsServer(t *testing.T) {
	g, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	pid := guardOtherThan(t, 0)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if session, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Fields(string(session))[5] != fmt.Sprint(pid) {
		t.Errorf("it has no session of its own: %s, %v", session, err)
	}
	if now := guardOtherThan(t, 0); now != pid {
		t.Errorf("it is process %d, was %d", now, pid)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if left := guards(t); len(left) > 0 {
		t.Errorf("left are %d", left)
	}
}

func TestKilledGuardIsReplaced(t *testing.T) {
	warned := make(chan error, 1)
	g, err := Start(true, func(err error) { warned <- err })
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for range 3 { // in less than ten seconds, unless the machine is very slow
		pid = guardOtherThan(t, pid)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-warned:
		if !strings.Contains(err.Error(), "its disks stay") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		guardOtherThan(t, pid) // it was slow: there is another
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// The next program of this process takes the guard over, and replaces it.
func TestGuardIsHandedOver(t *testing.T) {
	before, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	pid := guardOtherThan(t, 0)
	h, resume := before.HandOver()
	if h.PID != pid {
		t.Errorf("handed over is %+v, not process %d", h, pid)
	}
	if h.FD, err = unix.FcntlInt(uintptr(h.FD), unix.F_DUPFD_CLOEXEC, 3); err != nil { // as execve leaves it
		t.Fatal(err)
	}
	after, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	h.Replace()
	if now := guardOtherThan(t, pid); now == pid {
		t.Error("the guard of the program before still runs")
	}
	if err := after.Close(); err != nil {
		t.Error(err)
	}
	resume() // or it starts another
	if err := before.Close(); err != nil {
		t.Error(err)
	}
	if left := guards(t); len(left) > 0 {
		t.Errorf("left are %d", left)
	}
}
