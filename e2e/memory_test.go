package e2e

import (
	goflag "flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var dirty = goflag.Int64("dirty", 280, "how many MiB to write with 3/7 as much memory")

// A file system on the disk is written by programs that share little memory with
// lunserve, and others take all that there is. The server must not wait for memory
// that only it can clean, and the kernel kills the others first.
func TestServerOutlivesThoseThatTakeMemory(t *testing.T) {
	needTarget(t)
	group := newCgroup(t, *dirty*3/7<<20)
	image := newImage(t, ext4Of(t, (*dirty*5/4+256)<<20), (*dirty*9/8+64)<<20) // each ext4 reserves 5 %
	s := start(t, image)
	disk, mnt := s.disks[0], t.TempDir()
	run(t, "mkfs.ext4", "-q", disk)
	mount(t, disk, mnt)
	for _, pid := range []int{s.cmd.Process.Pid, guardOf(t, s.cmd.Process.Pid)} {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Appendln(nil, pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	within := func(command string) *exec.Cmd {
		return exec.Command("sh", "-c", "echo $$ >"+group+"/cgroup.procs && exec "+command)
	}
	writer := within(fmt.Sprintf("fio --name=write --filename=%s/file --rw=write --bs=256k --size=%dm --end_fsync=1 --verify=crc32c --do_verify=0 --verify_state_save=0 --aux-path=/tmp", mnt, *dirty))
	said := newRecord()
	writer.Stdout, writer.Stderr = said, said
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- writer.Wait() }()
	hogs, killed := 0, 0
	for ended := false; !ended; {
		hog := within("tail /dev/zero") // keeps the last line, which does not end
		_ = hog.Run()
		hogs++
		if strings.Contains(fmt.Sprint(hog.ProcessState), "killed") {
			killed++
		}
		select {
		case err := <-written:
			ended = true
			if err != nil {
				t.Errorf("fio: %v\n%s", err, said)
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Logf("%d of %d hogs were killed", killed, hogs)
	if killed == 0 {
		t.Error("memory was never short")
	}
	run(t, "umount", mnt)
	mount(t, disk, mnt)
	run(t, "fio", "--name=write", "--filename="+mnt+"/file", "--rw=read", "--bs=256k", fmt.Sprintf("--size=%dm", *dirty),
		"--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--aux-path=/tmp")
	run(t, "umount", mnt)
	s.ends()
}

// newCgroup makes a control group with this much memory, in bytes, until t ends.
func newCgroup(t *testing.T, memory int64) (dir string) {
	t.Helper()
	const root = "/sys/fs/cgroup"
	if !exists(root + "/cgroup.controllers") {
		mount(t, "cgroup2", root, "-t", "cgroup2")
	}
	if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, "lunserve-test")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(timeLimit); os.Remove(dir) != nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: is still in use", dir)
			}
		}
	})
	for name, value := range map[string]string{"memory.max": fmt.Sprint(memory), "memory.swap.max": "0"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0); err != nil && name == "memory.max" {
			t.Fatal(err)
		}
	}
	return dir
}
