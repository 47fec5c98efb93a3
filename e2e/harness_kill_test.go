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

// killedWithGuard kills the server together with its guard, so that the disks stay.
func (s *server) killedWithGuard() {
	t := s.t
	t.Helper()
	s.signal(syscall.SIGSTOP) // it would start another guard
	if err := syscall.Kill(guardOf(t, s.cmd.Process.Pid), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	s.stop(syscall.SIGKILL)
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
		for _, dir := range glob(t, "/proc/[0-9]*") {
			stat, _ := os.ReadFile(dir + "/stat")
			if found, ok := strings.CutPrefix(string(stat[bytes.IndexByte(stat, ' ')+1:]), fmt.Sprintf("(%s) S %d ", name, pid)); ok && found != "" {
				if n, _ := strconv.Atoi(filepath.Base(dir)); n != before {
					return n
				}
			}
		}
	}
	t.Fatalf("process %d has no child %s other than %d", pid, name, before)
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
