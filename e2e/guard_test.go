package e2e

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

// The server alone is killed. Its guard removes the disk in good order: a file
// system that is mounted loses nothing that was synced.
func TestGuardRemovesTheDisksOfAKilledServer(t *testing.T) {
	needTarget(t)
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			leavesNothing(t)
			dir, mnt := tmpfsDir(t), t.TempDir()
			image, pidFile := newImage(t, dir, 64<<20), filepath.Join(dir, "pid")
			s := start(t, "--pid-file="+pidFile, image)
			run(t, "mkfs.ext4", "-q", s.disks[0])
			mount(t, s.disks[0], mnt)
			files := startSyncing(t, mnt)
			time.Sleep(time.Second + time.Duration(round)*170*time.Millisecond)
			s.signal(syscall.SIGKILL)
			t.Logf("removed %v after the kill", awaitNoDisks(t))
			s.wait()
			s.stderr.await(t, `lunserve \(pid \d+\) was killed; removing its disks\n`)
			if err := syscall.Unmount(mnt, 0); err != nil {
				t.Error(err)
			}
			if exists(pidFile) {
				t.Error("the pid file is left")
			}
			s = start(t, image)
			mount(t, s.disks[0], mnt) // replays the journal
			files.whole(t, mnt)
			t.Logf("%d files were synced", files.files)
			run(t, "umount", mnt)
			run(t, "e2fsck", "-fn", s.disks[0])
			s.ends()
		})
	}
}

// A server that ends in good order leaves no guard, and one whose guard is killed
// gets another.
func TestServerHasAGuardForItsLife(t *testing.T) {
	needTarget(t)
	s := start(t, newImage(t, tmpfsDir(t), 16<<20))
	first := guardOf(t, s.cmd.Process.Pid)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP} {
		if err := syscall.Kill(first, sig); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(300 * time.Millisecond)
	if now := guardOf(t, s.cmd.Process.Pid); now != first {
		t.Errorf("guard %d was ended by a signal of the terminal", first)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := guardOf(t, s.cmd.Process.Pid)
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", second))
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "RssAnon") {
			t.Logf("guard: %s", line)
		}
	}
	s.ends()
	if exists(fmt.Sprintf("/proc/%d", second)) {
		t.Error("the guard still runs")
	}
}

// With --restart the users of a disk notice nothing of a kill.
func TestRestartKeepsTheDisk(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	image, pidFile := newImage(t, dir, 64<<20), filepath.Join(dir, "pid")
	s := start(t, "--restart", "--pid-file="+pidFile, image)
	run(t, "mkfs.ext4", "-q", s.disks[0])
	mount(t, s.disks[0], mnt)
	user := verify(t, filepath.Join(mnt, "file"), "--fsync=16")
	pids := []int{s.cmd.Process.Pid}
	var k kills
	for range 4 {
		time.Sleep(time.Second)
		k.wait(1)
		began := time.Now()
		if err := syscall.Kill(pids[len(pids)-1], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, serverOf(t, image, pids...))
		t.Logf("served again after %v", time.Since(began))
	}
	user.ends()
	if d := list(t); len(d) != 1 || d[0].Device != s.disks[0] {
		t.Errorf("listed are %+v", d)
	}
	if text, _ := os.ReadFile(pidFile); strings.TrimSpace(string(text)) != fmt.Sprint(pids[len(pids)-1]) {
		t.Errorf("the pid file has %q, not %d", text, pids[len(pids)-1])
	}
	run(t, "umount", mnt)
	run(t, "e2fsck", "-fn", s.disks[0])
	run(t, binary, "detach", image)
	s.wait()
	if exists(pidFile) {
		t.Error("the pid file is left")
	}
}

// Another start may lock the image first, and give up again. The guard waits for it.
func TestGuardWaitsForAnotherStart(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--restart", image)
	write(t, s.disks[0], 0, noise(1<<20, 1))
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// As a reader's lock that does not share writing, see package raw.
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: 201, Len: 1}); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGKILL)
	s.stderr.await(t, `was killed; starting another\n`)
	time.Sleep(300 * time.Millisecond) // of the three seconds that it waits
	f.Close()
	serverOf(t, image, s.cmd.Process.Pid)
	dropCaches(t)
	holds(t, s.disks[0], 0, noise(1<<20, 1))
	run(t, binary, "detach", image)
	s.wait()
}

// A server that is killed again and again is not restarted for ever.
func TestThreeDeathsEndARestart(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "--restart", image)
	began := time.Now()
	kills := 0
	for last := 0; ; time.Sleep(10 * time.Millisecond) {
		disks := list(t)
		if len(disks) == 0 {
			break
		}
		if time.Since(began) > timeLimit {
			t.Fatalf("still there after %d kills", kills)
		}
		for _, d := range disks {
			if !d.Dead && d.PID != last {
				last = d.PID
				kills++
				if err := syscall.Kill(last, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Logf("removed after %d kills", kills)
	s.wait()
	s.stderr.await(t, `was killed, the third time in ten seconds; removing its disks\n`)
}
