package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kills paces the kills of a test. The third death in ten seconds is the last of a
// line of servers, or of the guards of one.
type kills []time.Time

// wait waits until n more processes may be killed.
func (k *kills) wait(n int) {
	const most, in = 2, 12 * time.Second // a death is noticed later, on a busy machine
	if i := len(*k) + n - most - 1; i >= 0 {
		time.Sleep(time.Until((*k)[i].Add(in)))
	}
	for range n {
		*k = append(*k, time.Now())
	}
}

// killBoth kills a server and its guard, so that its disks stay. If the server is
// starting and has no guard yet, it kills only the server.
func killBoth(t *testing.T, server int) {
	t.Helper()
	syscall.Kill(server, syscall.SIGSTOP) // it would start another guard
	if guard := findGuard(t, server); guard != 0 {
		syscall.Kill(guard, syscall.SIGKILL)
	}
	syscall.Kill(server, syscall.SIGKILL)
}

// killedWithGuard kills the server together with its guard, so that the disks stay.
func (s *server) killedWithGuard() {
	s.t.Helper()
	guardOf(s.t, s.cmd.Process.Pid)
	killBoth(s.t, s.cmd.Process.Pid)
	s.wait()
}

// guardOf returns the guard of a process, as soon as it has one.
func guardOf(t *testing.T, pid int) int {
	t.Helper()
	return childOf(t, pid, "lun-guard", 0)
}

// childOf returns the child of a process that has a name, other than the one before,
// as soon as there is one.
func childOf(t *testing.T, pid int, name string, before int) int {
	t.Helper()
	for end := time.Now().Add(timeLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if child := findChild(t, pid, name, before); child != 0 {
			return child
		}
	}
	t.Fatalf("process %d has no child %s other than %d", pid, name, before)
	return 0
}

// findGuard returns the guard of a process, or 0.
func findGuard(t *testing.T, pid int) int {
	t.Helper()
	return findChild(t, pid, "lun-guard", 0)
}

// findChild returns the child of a process that has a name, other than the one
// before, or 0.
func findChild(t *testing.T, pid int, name string, before int) int {
	t.Helper()
	for _, dir := range glob(t, "/proc/[0-9]*") {
		stat, _ := os.ReadFile(dir + "/stat")
		if bytes.HasPrefix(stat[bytes.IndexByte(stat, ' ')+1:], fmt.Appendf(nil, "(%s) S %d ", name, pid)) {
			if n, _ := strconv.Atoi(filepath.Base(dir)); n != before {
				return n
			}
		}
	}
	return 0
}

// serverOf returns the process that serves an image, other than those before.
func serverOf(t *testing.T, image string, before ...int) int {
	t.Helper()
	for end := time.Now().Add(timeLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, d := range list(t) {
			if d.Image == image && !d.Dead && !slices.Contains(before, d.PID) {
				return d.PID
			}
		}
	}
	t.Fatalf("%s: nobody serves it", image)
	return 0
}

// awaitNoDisks waits until no disks are left, and returns how long that took.
func awaitNoDisks(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	for time.Since(start) < timeLimit {
		if len(glob(t, configfs+"/core/user_*/lunserve-*")) == 0 {
			return time.Since(start)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the disks are still there")
	return 0
}

// awaitNoWaiting waits until no process is in the state D, in which it cannot be killed.
func awaitNoWaiting(t *testing.T) {
	t.Helper()
	tasks := waiting(t)
	for end := time.Now().Add(10 * time.Second); len(tasks) > 0 && time.Now().Before(end); tasks = waiting(t) {
		time.Sleep(20 * time.Millisecond)
	}
	if len(tasks) > 0 {
		t.Errorf("these wait, and cannot be killed:\n%s", strings.Join(tasks, "\n"))
	}
}

// waiting returns the tasks in the state D, with their stacks.
func waiting(t *testing.T) (tasks []string) {
	t.Helper()
	for _, file := range glob(t, "/proc/[0-9]*/task/*/stat") {
		stat, _ := os.ReadFile(file)
		if _, state, _ := bytes.Cut(stat, []byte(") ")); bytes.HasPrefix(state, []byte("D ")) {
			stack, _ := os.ReadFile(filepath.Dir(file) + "/stack")
			tasks = append(tasks, string(stat)+string(stack))
		}
	}
	return tasks
}

// dies kills the server, whose disk is mounted on mnt, and cleans up after it.
// Without a server each command would wait until it times out. In configfs dies
// removes what is not among the old traces.
func (s *server) dies(old []string, mnt string) {
	t := s.t
	t.Helper()
	s.killedWithGuard()
	set := func(pattern, value string) {
		t.Helper()
		for _, path := range glob(t, pattern) {
			if err := os.WriteFile(path, []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, disk := range s.disks {
		device := "/sys/class/block/" + filepath.Base(disk) + "/device"
		set(device+"/state", "offline\n")
		set(device+"/scsi_disk/*/cache_type", "temporary write through\n") // no server could flush it
	}
	set(configfs+"/core/user_*/*/action/block_dev", "1")
	set(configfs+"/core/user_*/*/action/reset_ring", "2") // fails all outstanding commands
	run(t, "umount", mnt)
	for _, path := range slices.Backward(traces(t)) {
		if strings.HasPrefix(path, configfs) && !slices.Contains(old, path) {
			os.Remove(path) // fails for what the kernel removes with its folder
		}
	}
}
