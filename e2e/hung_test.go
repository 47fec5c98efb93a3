package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitGone waits until a file is gone, and returns how long that took.
func awaitGone(t *testing.T, path string) time.Duration {
	t.Helper()
	began := time.Now()
	for exists(path) {
		if time.Since(began) > timeLimit {
			t.Fatalf("%s is still there", path)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// awaitClosed waits until a process has closed a file, and so has unlocked it.
func awaitClosed(t *testing.T, pid int, file string) {
	t.Helper()
	opens := func(fd string) bool { to, _ := os.Readlink(fd); return to == file }
	for end := time.Now().Add(timeLimit); slices.ContainsFunc(glob(t, fmt.Sprintf("/proc/%d/fd/*", pid)), opens); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d has not closed %s", pid, file)
		}
	}
}

// The storage of one image hangs. The other disk is removed, and its image is free.
// lunserve names what it waits for, and ends when the storage answers.
func TestHungStorageDelaysOnlyItsOwnDisk(t *testing.T) {
	for _, order := range []string{"first", "last"} {
		t.Run(order, func(t *testing.T) {
			needTarget(t)
			hung, image := newStorage(t, 64<<20), newImage(t, tmpfsDir(t), 16<<20)
			images := []string{hung.path, image}
			if order == "last" {
				images = []string{image, hung.path}
			}
			write(t, hung.path, 0, noise(1<<20, 1))
			s := start(t, images...)
			bad, good := s.disks[0], s.disks[1]
			if order == "last" {
				bad, good = good, bad
			}
			hung.suspend()
			load := flushing(t, bad, s.cmd.Process.Pid)
			defer load.Wait()
			s.signal(syscall.SIGTERM)
			t.Logf("%s is gone after %v", good, awaitGone(t, good))
			s.stderr.await(t, `still removing disks after \d+s; waiting for the kernel to flush `+bad+`; try dmesg \| tail, or kill -KILL \d+ to remove them by force, and lose what is not flushed\n`)
			awaitClosed(t, s.cmd.Process.Pid, image)
			start(t, image).ends()
			if disks := list(t); len(disks) != 1 || disks[0].Image != hung.path {
				t.Errorf("listed are %+v", disks)
			}
			hung.resume()
			if status := s.wait(); status != 1 { // in use by dd
				t.Errorf("exit status %d", status)
			}
			holds(t, hung.path, 0, make([]byte, 1<<20))
		})
	}
}

// The line that lunserve prints removes the disks although its threads are stuck in
// the kernel until the storage answers. Nobody adopts what they may still write to.
func TestStuckServerIsRemovedAndNotAdopted(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprintf("guard %v", guarded), func(t *testing.T) {
			needTarget(t)
			hung := newStorage(t, 64<<20)
			s := start(t, hung.path)
			hung.suspend()
			load := flushing(t, s.disks[0], s.cmd.Process.Pid)
			defer load.Wait()
			if !guarded {
				s.signal(syscall.SIGSTOP)
				syscall.Kill(guardOf(t, s.cmd.Process.Pid), syscall.SIGKILL)
			}
			s.signal(syscall.SIGKILL)
			began := time.Now()
			if guarded {
				awaitNoDisks(t)
				if took := time.Since(began); took > 15*time.Second { // 3 s on a quiet machine
					t.Errorf("removed %v after the kill", took)
				} else {
					t.Logf("removed %v after the kill", took)
				}
				if load.Wait() == nil {
					t.Error("dd has seen no error")
				}
			} else {
				out := fails(t, binary, hung.path)
				t.Logf("a start says after %v: %s", time.Since(began), out)
				if strings.Contains(out, "adopted") {
					t.Error("adopted")
				}
				if d := died(t); d.PID != s.cmd.Process.Pid {
					t.Errorf("listed is %+v", d)
				}
			}
			if !s.running() {
				t.Error("the server has ended before its storage answered")
			}
			hung.resume()
			s.wait()
			next := start(t, hung.path)
			if !guarded {
				next.stderr.await(t, `adopted the disk`)
				if next.disks[0] != s.disks[0] {
					t.Errorf("the disk is now %s, was %s", next.disks[0], s.disks[0])
				}
				if err := load.Wait(); err != nil {
					t.Errorf("dd: %v", err)
				}
			}
			next.ends()
		})
	}
}

// flushing writes 1 MiB of zeros to a disk, and waits until a thread of its server
// waits in the kernel for storage.
func flushing(t *testing.T, disk string, pid int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("dd", "if=/dev/zero", "of="+disk, "bs=1M", "count=1", "conv=fsync")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(timeLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, file := range glob(t, fmt.Sprintf("/proc/%d/task/*/status", pid)) {
			if status, _ := os.ReadFile(file); strings.Contains(string(status), "\nState:\tD") {
				return cmd
			}
		}
	}
	t.Fatalf("process %d: no thread waits for the storage", pid)
	return nil
}
