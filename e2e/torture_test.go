package e2e

import (
	goflag "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	torture = goflag.Int("torture", 1, "how often to kill lunserve, its guard or both, for each setup")
	goneIn  = goflag.Duration("gone", 20*time.Second, "how long a disk may outlive its lunserve, on a machine that is busy")
)

// A setup is a way of serving disks.
type setup struct {
	name   string
	flags  []string
	images []string
}

// setups returns the setups, with new images.
func setups(t *testing.T, dir string) []setup {
	t.Helper()
	image := func() string { return newImage(t, dir, 64<<20) }
	full := image()
	f, err := os.OpenFile(full, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 64<<20); err != nil {
		t.Fatal(err)
	}
	return []setup{
		{"overlay", []string{"--overlay=" + filepath.Join(dir, "overlay.qcow2")}, []string{image()}},
		{"raw", []string{"--loopback", "--iscsi", "--vhost"}, []string{image(), full, image()}},
	}
}

func (u setup) args(more ...string) []string { return slices.Concat(more, u.flags, u.images) }

// serve starts lunserve and returns it with the URL of the first disk, if it has one.
func (u setup) serve(t *testing.T, more ...string) (s *server, url string) {
	t.Helper()
	s = start(t, u.args(more...)...)
	if slices.Contains(u.flags, "--iscsi") {
		url = s.line()
		for range len(u.images) - 1 + 1 { // other URLs, a WWPN
			s.line()
		}
	}
	return s, url
}

// last is the disk that has the file system.
func last(disks []string) string { return disks[len(disks)-1] }

// Server, guard or both are killed at random moments, of a start and of an
// adoption too. fio verifies a file system and raw disks meanwhile, and must see
// no error: if nobody serves the disks, the next start adopts them.
func TestKillsAtRandomWithRestart(t *testing.T) {
	needTarget(t)
	t.Logf("seed %d", *seed)
	for _, u := range setups(t, tmpfsDir(t)) {
		t.Run(u.name, func(t *testing.T) {
			leavesNothing(t)
			mnt := t.TempDir() // its removal waits for the disk, if that is still mounted there
			cleanUp(t)
			r := rand.New(rand.NewPCG(*seed, 1))
			s, url := u.serve(t, "--restart")
			disk := last(s.disks)
			run(t, "mkfs.ext4", "-q", disk)
			mount(t, disk, mnt)
			users := []*verifier{verify(t, filepath.Join(mnt, "file"), "--fsync=16")}
			logout := func() {}
			if url != "" {
				n := newInitiator(t).node(itsName, url)
				users = append(users, verify(t, n.login()), verify(t, s.disks[1], "--rate_iops=50"))
				logout = n.logout
			}
			before := list(t)
			var k kills
			for n := range *torture {
				time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
				server := serverOf(t, u.images[0])
				switch r.IntN(4) {
				case 0:
					k.wait(1)
					t.Logf("%d: the guard is killed", n)
					syscall.Kill(guardOf(t, server), syscall.SIGKILL)
				case 1:
					k.wait(1)
					t.Logf("%d: the server is killed", n)
					syscall.Kill(server, syscall.SIGKILL)
				case 2:
					k.wait(2)
					pause := time.Duration(r.IntN(1000)) * time.Millisecond
					t.Logf("%d: the server is killed, and its guard %v later", n, pause)
					guard := guardOf(t, server)
					syscall.Kill(server, syscall.SIGKILL)
					time.Sleep(pause)
					syscall.Kill(guard, syscall.SIGKILL) // it may have a guard of its own by then
					begin(t, u.args("--restart"))
				case 3:
					k.wait(2)
					starts := r.IntN(3)
					t.Logf("%d: both are killed, and the next %d starts", n, starts)
					killBoth(t, server)
					for range starts { // at any step
						next := begin(t, u.args("--restart"))
						time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
						next.Process.Kill()
					}
					begin(t, u.args("--restart"))
				}
				began := time.Now()
				stayed(t, before)
				t.Logf("%d: served after %v", n, time.Since(began).Round(time.Millisecond))
			}
			for _, user := range users {
				user.ends()
			}
			logout()
			run(t, "umount", mnt)
			run(t, "e2fsck", "-fn", disk)
			run(t, binary, append([]string{"detach"}, u.images...)...)
			awaitNoDisks(t)
			awaitNoWaiting(t)
		})
	}
}

// stayed waits until the same disks are in the list, and are served.
func stayed(t *testing.T, before []listed) {
	t.Helper()
	var after []listed
	same := func(a, b listed) bool {
		return a.Name == b.Name && a.Device == b.Device && a.URI == b.URI && !a.Dead && !b.Dead
	}
	for end := time.Now().Add(timeLimit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if after = list(t); slices.EqualFunc(before, after, same) {
			return
		}
	}
	t.Fatalf("listed are %+v, were %+v", after, before)
}

// Without --restart the disks go when their server is killed, at any moment of its
// life. What was synced stays.
func TestKillsAtRandom(t *testing.T) {
	needTarget(t)
	t.Logf("seed %d", *seed)
	for _, u := range setups(t, tmpfsDir(t)) {
		t.Run(u.name, func(t *testing.T) {
			leavesNothing(t)
			mnt := t.TempDir() // its removal waits for the disk, if that is still mounted there
			cleanUp(t)
			r := rand.New(rand.NewPCG(*seed, 2))
			s, _ := u.serve(t)
			run(t, "mkfs.ext4", "-q", last(s.disks))
			s.ends()
			before := traces(t)
			worst := time.Duration(0)
			for n := range *torture {
				var files *syncer
				var onDisk *verifier
				var cmd *exec.Cmd
				moment := []string{"start", "service", "end"}[r.IntN(3)]
				if moment == "start" {
					cmd = begin(t, u.args())
					time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
				} else {
					s, _ := u.serve(t)
					cmd = s.cmd
					mount(t, last(s.disks), mnt)
					files = startSyncing(t, mnt)
					if len(s.disks) > 1 {
						onDisk = verify(t, s.disks[0])
					}
					time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
				}
				if moment == "end" {
					cmd.Process.Signal(syscall.SIGTERM)
					time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				}
				both := r.IntN(3) == 0
				if both {
					killBoth(t, cmd.Process.Pid)
				}
				cmd.Process.Kill()
				killed := time.Now()
				if both {
					detachUntilGone(t, cmd.Process.Pid)
				}
				awaitTraces(t, before)
				took := time.Since(killed)
				worst = max(worst, took)
				if took > *goneIn {
					t.Errorf("%d: the disks were there for %v", n, took)
				}
				t.Logf("%d: killed in its %s (with its guard: %v): gone after %v", n, moment, both, took.Round(time.Millisecond))
				if files != nil {
					<-files.ended
					run(t, "umount", mnt)
				}
				if onDisk != nil {
					onDisk.awaitEnd()
				}
				awaitNoWaiting(t)
				s, _ := u.serve(t)
				if files != nil {
					mount(t, last(s.disks), mnt) // replays the journal
					files.whole(t, mnt)
					t.Logf("%d: %d files were synced", n, files.files)
					run(t, "umount", mnt)
				}
				run(t, "e2fsck", "-fn", last(s.disks))
				s.ends()
			}
			t.Logf("gone after %v at the latest", worst)
		})
	}
}

// detachUntilGone detaches the disks of a server that was killed with its guard, and
// sweeps what else it has left. The server may hang in the kernel until its disks
// are detached: one of its threads removes a LUN, and waits for commands that it no
// longer completes.
func detachUntilGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(timeLimit); ; time.Sleep(5 * time.Millisecond) {
		ended := !exists(fmt.Sprintf("/proc/%d", pid))
		left := names(list(t))
		switch {
		case len(left) > 0:
			try(t, binary, append([]string{"detach", "--force"}, left...)...) // it may end meanwhile
		case ended:
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left are lunserve (pid %d) and its disks %q\n%s", pid, left, strings.Join(waiting(t), "\n"))
		}
	}
}

// names returns the names of listed disks.
func names(disks []listed) (all []string) {
	for _, d := range disks {
		all = append(all, d.Name)
	}
	return all
}

// awaitTraces waits until lunserve has left nothing, but for mounts.
func awaitTraces(t *testing.T, before []string) {
	t.Helper()
	var left []string
	for end := time.Now().Add(timeLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = slices.DeleteFunc(append(traces(t), glob(t, "/run/lunserve/*")...), func(name string) bool {
			return strings.HasPrefix(name, "mount of ") || slices.Contains(before, name)
		})
		if len(left) == 0 {
			return
		}
	}
	t.Fatalf("left are %q\n%s", left, strings.Join(waiting(t), "\n"))
}

// begin starts lunserve, and does not wait for it.
func begin(t *testing.T, args []string) *exec.Cmd {
	t.Helper()
	cmd, said := exec.Command(binary, args...), newRecord()
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("stderr of lunserve (pid %d):\n%s", cmd.Process.Pid, said)
		}
	})
	return cmd
}

// cleanUp removes what is left of the disks if t fails, at its end.
func cleanUp(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() && len(list(t)) > 0 {
			try(t, binary, append([]string{"detach", "--force"}, names(list(t))...)...)
		}
	})
}
