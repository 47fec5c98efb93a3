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

// The storage of one image hangs. The other disks are removed, and lunserve names
// what it waits for, and ends when the storage answers.
//
// Linux shares the tags of a SCSI host among its disks. When only one is left, it
// waits for the commands of that one before the removal of the last but one
// returns (blk_mq_update_tag_set_shared). Its node is gone by then, but not its LUN.
func TestHungStorageDelaysOnlyItsOwnDisk(t *testing.T) {
	needTarget(t)
	hung, dir := newStorage(t, 64<<20), tmpfsDir(t)
	images := []string{hung.path, newImage(t, dir, 16<<20), newImage(t, dir, 16<<20)}
	s := start(t, images...)
	hung.suspend()
	load := flushing(t, s.disks[0], s.cmd.Process.Pid)
	s.signal(syscall.SIGTERM)
	for _, disk := range s.disks[1:] {
		t.Logf("%s is gone after %v", disk, awaitGone(t, disk))
	}
	awaitClosed(t, s.cmd.Process.Pid, images[2])
	start(t, images[2]).ends()
	s.stderr.await(t, `still removing disks after \d+s; waiting for the kernel to flush `+s.disks[0]+`; try dmesg \| tail, or kill -KILL \d+ to remove them by force, and lose what is not flushed\n`)
	s.stderr.await(t, `still removing disks after \d+s; waiting for the kernel to unlink \S+/lun_1/`)
	hung.resume()
	if status := s.wait(); status != 1 { // in use by dd
		t.Errorf("exit status %d", status)
	}
	load.Wait()
	holds(t, hung.path, 0, make([]byte, 1<<20))
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
			}
			// Another start waits for the storage as well, at the latest when it
			// opens the image.
			next := launch(t, exec.Command(binary, hung.path))
			time.Sleep(4 * time.Second)
			if !guarded {
				if d := died(t); d.PID != s.cmd.Process.Pid {
					t.Errorf("adopted from a server that is stuck: %+v", d)
				}
			}
			if !s.running() {
				t.Error("the server has ended before its storage answered")
			}
			hung.resume()
			s.wait()
			disk, err := next.stdout.ReadString('\n')
			if err != nil { // it was faster than the end of the server, which locks the image
				next.wait()
				next = start(t, hung.path)
				disk = next.disks[0] + "\n"
			}
			if !guarded {
				next.stderr.await(t, `adopted the disk`)
				if disk != s.disks[0]+"\n" {
					t.Errorf("the disk is now %s, was %s", disk, s.disks[0])
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
