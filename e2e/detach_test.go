package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The server is killed while fio writes. The detach ends fio's I/O with errors.
func TestDetachRemovesWhatAKilledServerLeft(t *testing.T) {
	needTarget(t)
	image, mnt := newImage(t, tmpfsDir(t), 64<<20), t.TempDir()
	before := traces(t)
	s := start(t, image)
	run(t, "mkfs.ext4", "-q", s.disks[0])
	mount(t, s.disks[0], mnt)
	if err := os.WriteFile(filepath.Join(mnt, "flushed"), noise(3<<20, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "sync", "--file-system", mnt)
	load := exec.Command("fio", "--name=load", "--directory="+mnt, "--size=16m", "--rw=randwrite", "--bs=4k",
		"--fsync=16", "--time_based", "--runtime=600")
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- load.Wait() }()
	if err := os.WriteFile(filepath.Join(mnt, "dirty"), noise(8<<20, 2), 0o644); err != nil {
		t.Fatal(err)
	}
	s.killedWithGuard()

	disk := died(t)
	if disk.Device != s.disks[0] || disk.PID != s.cmd.Process.Pid ||
		!slices.Contains(disk.Users, user{Kind: "mount", Where: mnt}) {
		t.Errorf("listed is %+v, want %s of process %d, in use", disk, s.disks[0], s.cmd.Process.Pid)
	}
	if said := run(t, binary, "doctor"); !strings.Contains(said, "its lunserve was killed; try lunserve detach "+disk.Name+"\n") {
		t.Errorf("doctor says\n%s", said)
	}
	if out := fails(t, binary, "detach", image); !strings.Contains(out, "mounted on "+mnt) {
		t.Errorf("detach says: %s", out)
	}
	detaches(t, disk)
	select {
	case err := <-waited:
		if err == nil {
			t.Error("fio has seen no error")
		}
	case <-time.After(timeLimit):
		t.Errorf("fio still waits for the disk, %v after its removal", timeLimit)
		load.Process.Kill()
	}
	run(t, "umount", mnt)
	sameTraces(t, before)

	// Flushed data is in the image.
	s = start(t, image)
	mount(t, s.disks[0], mnt)
	holds(t, filepath.Join(mnt, "flushed"), 0, noise(3<<20, 1))
	run(t, "umount", mnt)
	run(t, "e2fsck", "-fn", s.disks[0])
	s.ends()
}

// The targets of all fabrics are removed although an initiator is logged in.
func TestDetachRemovesTheTargetsOfAKilledServer(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	i := newInitiator(t)
	s := launch(t, exec.Command(binary, "--loopback", "--iscsi", "--vhost", "--allow="+itsName,
		newImage(t, dir, 16<<20), newImage(t, dir, 16<<20)))
	var lines []string
	for range 5 { // two paths, two URLs, a WWPN
		lines = append(lines, s.line())
	}
	n := i.node(itsName, lines[2])
	disk := n.login()
	load := exec.Command("fio", "--name=load", "--filename="+disk, "--rw=randwrite", "--bs=4k", "--direct=1",
		"--ioengine=libaio", "--iodepth=16", "--time_based", "--runtime=600")
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		load.Process.Kill()
		load.Wait()
	}()
	awaitWrites(t, disk)
	s.killedWithGuard()
	for left, d := range list(t) {
		detaches(t, d)
		targets := glob(t, configfs+"/*/*/tpgt_1")
		if want := 3 * (1 - left); len(targets) != want { // they go with the last disk
			t.Errorf("%d targets after %d disks: %q", len(targets), left+1, targets)
		}
	}
	load.Process.Kill()
	n.logout()
}

// Process ids differ between containers, so the owner's seems not to exist.
func TestDetachLeavesWhatIsServedInAnotherContainer(t *testing.T) {
	needTarget(t)
	need(t, "unshare")
	image := newImage(t, tmpfsDir(t), 1<<20)
	// unshare passes no signals on, but lunserve gets SIGTERM when unshare is killed.
	s := launch(t, exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGTERM", binary, image))
	disk := s.line()
	if out := fails(t, binary, "detach", "--force", image); !strings.Contains(out, "served by a process in another PID namespace") {
		t.Errorf("detach says: %s", out)
	}
	write(t, disk, 0, noise(1<<20, 1))
	s.stop(syscall.SIGKILL)
	holds(t, image, 0, noise(1<<20, 1))
}

// Without --force, detach waits for a command that ignores SIGTERM, and names it.
func TestDetachEndsACommand(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := launch(t, exec.Command(binary, image, "--", "sh", "-c", `trap "" TERM; echo $$; while :; do sleep 1; done`))
	pid := s.line()
	if out := fails(t, "sh", "-c", `timeout 3 "$0" detach "$1"`, binary, image); !strings.Contains(out, ": waiting for sh (pid "+pid+") to exit; ") {
		t.Errorf("detach says: %s", out)
	}
	run(t, binary, "detach", "--force", image)
	if status := s.wait(); status != 128+9 { // the command's: it did not finish
		t.Errorf("exit status %d\n%s", status, s.stderr)
	}
}

// Other disks are listed and detached as always. For the stopped lunserve, list
// prints what the kernel knows.
func TestStoppedServerIsReported(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	stopped, other := start(t, newImage(t, dir, 16<<20)), start(t, newImage(t, dir, 32<<20))
	stopped.signal(syscall.SIGSTOP)
	defer stopped.signal(syscall.SIGCONT)
	began := time.Now()

	const silent = `does not answer; try kill -CONT `
	each := new(sync.WaitGroup) // waits for an answer
	each.Go(func() {
		text, _ := try(t, binary, "list")
		said := output{t, "list", text}.has(`(?m)^lunserve: warning: lunserve with process id %d %s%[1]d$`, stopped.cmd.Process.Pid, silent)
		for _, s := range []*server{stopped, other} {
			said.has(`(?m)^%s .* %d `, s.disks[0], s.cmd.Process.Pid)
		}
	})
	each.Go(func() {
		text, _ := try(t, binary, "stats")
		output{t, "stats", text}.has(`-[0-9a-f]{8}\n$`)
	})
	for _, command := range []string{"resize", "detach"} {
		each.Go(func() {
			if out, err := try(t, binary, command, stopped.disks[0]); err == nil || !strings.Contains(out, silent) {
				t.Errorf("%s: %v, says: %s", command, err, out)
			}
		})
	}
	each.Wait()
	run(t, binary, "detach", other.disks[0])
	other.wait()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}
