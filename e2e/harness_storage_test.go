package e2e

import (
	"fmt"
	"os"
	"testing"
)

// A storage is a block device that stops answering when it is suspended, as do a
// broken disk and a dead server of NFS: who reads or writes it waits in the kernel,
// and no signal ends that.
type storage struct {
	t    *testing.T
	name string
	path string
}

// newStorage makes a block device until t ends.
func newStorage(t *testing.T, size int64) *storage {
	t.Helper()
	run(t, "modprobe", "dm_mod")
	t.Setenv("DM_DISABLE_UDEV", "1") // dmsetup makes the node
	backing := loop(t, newImage(t, tmpfsDir(t), size))
	s := &storage{t, fmt.Sprint("lunserve-test-", os.Getpid()), ""}
	s.path = "/dev/mapper/" + s.name
	run(t, "dmsetup", "create", s.name, "--table", fmt.Sprintf("0 %d linear %s 0", size/512, backing))
	t.Cleanup(func() { run(t, "dmsetup", "remove", "--retry", s.name) })
	t.Cleanup(s.resume)
	return s
}

func (s *storage) suspend() {
	s.t.Helper()
	run(s.t, "dmsetup", "suspend", "--nolockfs", s.name)
}
func (s *storage) resume() { s.t.Helper(); run(s.t, "dmsetup", "resume", s.name) }
