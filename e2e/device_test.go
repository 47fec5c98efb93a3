package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestBlockDeviceIsServed(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			needTarget(t)
			file := newImage(t, tmpfsDir(t), 16<<20)
			storage := loop(t, file)
			s := start(t, fmt.Sprintf("--sector-size=%d", sector), storage)
			run(t, "fio", fioJob(s.disks[0], "--bsrange="+fmt.Sprint(sector)+"-128k", "--io_size=12m")...)

			// No other program can use it meanwhile.
			refused(t, fmt.Sprintf("lunserve: %s: locked by %s (pid %d)", storage, name(), s.cmd.Process.Pid), storage)
			fails(t, "mount", storage, t.TempDir())
			s.ends()
			run(t, "fio", fioJob(file, "--bsrange="+fmt.Sprint(sector)+"-128k", "--io_size=12m", "--verify_only", "--direct=0")...)
		})
	}
}

// A block device that another program uses is refused. The error names the user
// and the command to type.
func TestBlockDeviceInUse(t *testing.T) {
	needTarget(t)
	file := newImage(t, tmpfsDir(t), 16<<20)
	run(t, "mkfs.ext4", "-q", file)
	storage, dir := loop(t, file), t.TempDir()
	mount(t, storage, dir)
	refused(t, "lunserve: "+storage+": mounted on "+dir+": device or resource busy; try umount "+dir+" if nothing needs it", storage)
	run(t, "umount", dir)

	run(t, "blockdev", "--setro", storage)
	t.Cleanup(func() { run(t, "blockdev", "--setrw", storage) }) // it outlives the device
	refused(t, "lunserve: "+storage+": is a read-only device; try --read-only", storage)
	s := start(t, "-r", storage)
	run(t, "e2fsck", "-fn", s.disks[0])
	s.ends()
}

// A disk of lunserve can be the image of another.
func TestDiskOnADisk(t *testing.T) {
	needTarget(t)
	image := newImage(t, ext4Dir(t), 16<<20)
	lower := start(t, image)
	upper := start(t, lower.disks[0])
	run(t, "fio", fioJob(upper.disks[0], "--bsrange=4k-64k", "--io_size=8m")...)

	// The lower disk reports that the upper one uses it.
	lower.signal(os.Interrupt)
	lower.stderr.await(t, fmt.Sprintf(`(?m)^lunserve: %s is opened by %s \(pid %d\);`, lower.disks[0], name(), upper.cmd.Process.Pid))
	upper.ends()
	lower.ends()
	run(t, "fio", fioJob(image, "--bsrange=4k-64k", "--io_size=8m", "--verify_only", "--direct=0")...)
}

// A local disk has two hardware queues, so that ksoftirqd completes none of its
// commands. The module's parameter is as before.
func TestLocalDiskHasTwoQueues(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	for _, tt := range []struct {
		flags  []string
		queues int
	}{
		{[]string{"--single-queue"}, 1},
		{nil, min(2, runtime.NumCPU())},
	} {
		s := start(t, append(tt.flags, newImage(t, tmpfsDir(t), 1<<20))...)
		if got := glob(t, "/sys/block/"+filepath.Base(s.disks[0])+"/mq/*"); len(got) != tt.queues {
			t.Errorf("%v: queues %q, want %d", tt.flags, got, tt.queues)
		}
		if got, err := os.ReadFile(queuesParameter); string(got) != "1\n" {
			t.Errorf("%v: the parameter is %q, %v", tt.flags, got, err)
		}
		s.ends()
	}
}
