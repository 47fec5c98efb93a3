package guard

import (
	"errors"
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

// children returns the children of this process that have a name.
func children(t *testing.T, called string) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		stat, _ := os.ReadFile(dir + "/stat")
		var pid, parent int
		var state string
		if name := fmt.Sprintf("(%s)", called); strings.Contains(string(stat), name) {
			fmt.Sscanf(strings.Replace(string(stat), name, "", 1), "%d %s %d", &pid, &state, &parent)
			if parent == os.Getpid() && state != "Z" {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// guardOtherThan waits for a guard.
func guardOtherThan(t *testing.T, before int) int { return processOf(t, Name, before) }

func processOf(t *testing.T, called string, before int) int {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if now := children(t, called); len(now) == 1 && now[0] != before {
			return now[0]
		}
	}
	t.Fatalf("no %s other than %d", called, before)
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
	if left := children(t, Name); len(left) > 0 {
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

// A guard looks for a server that cannot, and so does the spare one that takes its
// place, again and again. Only if both are killed, a guard is started that is
// confined as the server is, and sees nothing.
func TestGuardSeesForItsServer(t *testing.T) {
	warned := make(chan error, 1)
	g, err := Start(true, func(err error) { warned <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer os.Unsetenv(confined)
	g.Confine()
	sees := func() {
		t.Helper()
		if users, err := g.Users(Place{Node: "/dev/missing", WWN: "naa.5001405000000000"}); err != nil || len(users) > 0 {
			t.Errorf("users: %v, %v", users, err)
		}
	}
	sees()
	for range 2 {
		pid, spare := guardOtherThan(t, 0), processOf(t, spareName, 0)
		kill(t, pid)
		if now := guardOtherThan(t, pid); now != spare {
			t.Errorf("guard is %d, the spare one was %d", now, spare)
		}
		processOf(t, spareName, spare) // the next
		sees()
	}
	spare := processOf(t, spareName, 0)
	kill(t, spare)
	spare = processOf(t, spareName, spare)

	g.mu.Lock() // so that it starts no other
	pid := guardOtherThan(t, 0)
	kill(t, spare)
	kill(t, pid)
	g.mu.Unlock()
	for err := range warned {
		if errors.Is(err, ErrBlind) || strings.Contains(err.Error(), "its disks stay") { // the third in ten seconds
			break
		}
		t.Error(err)
	}
	if users, err := g.Users(Place{Node: "/dev/missing"}); !errors.Is(err, ErrBlind) {
		t.Errorf("users: %v, %v", users, err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	other, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Users(Place{}); !errors.Is(err, ErrBlind) {
		t.Errorf("the guard of a process that is confined from the start sees: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	other.Unconfined()
	if isConfined() {
		t.Error("a program that could not be confined is taken for one that is")
	}
	if left := append(children(t, Name), children(t, spareName)...); len(left) > 0 {
		t.Errorf("left are %d", left)
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// A program goes on with the guard of the one before, by one that it has started: it
// is not confined, and nothing of the old ones is left.
func TestGuardIsHandedOver(t *testing.T) {
	before, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer os.Unsetenv(confined)
	before.Confine()
	spare, old := processOf(t, spareName, 0), guardOtherThan(t, 0)
	h, _ := before.HandOver() // the program ends without resume
	if h.FD, err = unix.FcntlInt(uintptr(h.FD), unix.F_DUPFD, 3); err != nil || h.PID != old || h.Spare != spare {
		t.Fatal(h, err)
	}
	before.guard.socket.Close() // as execve does
	before.spare.socket.Close()
	g, err := TakeOver(h, true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if now := guardOtherThan(t, 0); now != old {
		t.Errorf("the guard is %d, was %d", now, old)
	}
	g.Renew()
	guardOtherThan(t, old)
	processOf(t, spareName, spare)
	if _, err := g.Users(Place{Node: "/dev/missing"}); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if left := append(children(t, Name), children(t, spareName)...); len(left) > 0 {
		t.Errorf("left are %d", left)
	}
}

// A guard that is killed while it makes its successor has that one, and not the spare one
// as well: two would both take the place of the server.
func TestThereIsOneGuard(t *testing.T) {
	g, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer os.Unsetenv(confined)
	g.Confine()
	pid := guardOtherThan(t, 0)
	processOf(t, spareName, 0)
	if err := g.replace(); err != nil { // although there is one
		t.Error(err)
	}
	if now := guardOtherThan(t, 0); now != pid {
		t.Errorf("the guard is %d, was %d", now, pid)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
