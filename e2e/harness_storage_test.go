package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// A storage is a block device that can be made to fail, or to hang as a broken disk
// and a dead server of NFS do: who reads or writes it waits in the kernel then, and
// no signal ends that.
type storage struct {
	t     *testing.T
	name  string
	path  string
	lower string // the device that holds its data
	size  int64
}

// newStorage makes a block device until t ends.
func newStorage(t *testing.T, size int64) *storage {
	t.Helper()
	run(t, "modprobe", "dm_mod")
	t.Setenv("DM_DISABLE_UDEV", "1") // dmsetup makes the node
	name := fmt.Sprint("lunserve-test-", os.Getpid())
	s := &storage{t, name, "/dev/mapper/" + name, loop(t, newImage(t, tmpfsDir(t), size)), size}
	run(t, "dmsetup", "create", s.name, "--table", s.linear())
	t.Cleanup(func() { run(t, "dmsetup", "remove", "--retry", s.name) })
	return s
}

func (s *storage) linear() string { return fmt.Sprintf("0 %d linear %s 0", s.size/512, s.lower) }

// suspend lets all wait until resume, or t ends: servers started before it can end then.
func (s *storage) suspend() {
	s.t.Helper()
	s.t.Cleanup(s.resume)
	run(s.t, "dmsetup", "suspend", "--nolockfs", s.name)
}

func (s *storage) resume() { s.t.Helper(); run(s.t, "dmsetup", "resume", s.name) }

func (s *storage) fail() { s.t.Helper(); s.become(fmt.Sprintf("0 %d error", s.size/512)) }

// slow delays writes and flushes, but no reads.
func (s *storage) slow(by time.Duration) {
	s.t.Helper()
	run(s.t, "modprobe", "dm_delay")
	s.become(fmt.Sprintf("0 %d delay %s 0 0 %[2]s 0 %[3]d", s.size/512, s.lower, by.Milliseconds()))
}

func (s *storage) heal() { s.t.Helper(); s.become(s.linear()) }

// become replaces what is below the device.
func (s *storage) become(table string) {
	s.t.Helper()
	run(s.t, "dmsetup", "load", s.name, "--table", table)
	s.resume()
}
