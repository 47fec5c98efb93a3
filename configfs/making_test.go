package configfs

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// While mkdir makes the SCSI host, the bus says for which process, with any number of
// queues, and afterwards for none.
func TestMakerIsKnownWhileItMakesTheHost(t *testing.T) {
	for name, oneQueue := range map[string]bool{"one queue": true, "two queues": false} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t)
			k.file("sys/bus/tcm_loop_bus/x", "")
			k.file(hostQueues, "4\n") // the administrator's choice
			var during int
			k.refuse = func(verb, name string) bool {
				if verb == "mkdir" && name == "loopback/"+wwn {
					during = k.groups[k.loopBus()]
				}
				return false
			}
			l, err := k.newLoopback(wwn, oneQueue)
			if err != nil {
				t.Fatal(err)
			}
			if after := k.groups[k.loopBus()]; during != k.self().pid || after != 0 {
				t.Errorf("%d while it was made, then %d", during, after)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A process that is killed in mkdir has made a target that is not marked as its own.
func TestSweepRemovesTheTargetThatWasBeingMade(t *testing.T) {
	for _, maker := range []int{0, 99} {
		k := newKernel(t)
		k.file("sys/bus/tcm_loop_bus/x", "")
		k.groups[k.loopBus()] = maker
		tree := tree{machine: k.machine}
		tree.joinShared("loopback")
		for _, name := range []string{"loopback/naa.made", "loopback/naa.foreign", "loopback/naa.foreign/tpgt_1"} {
			tree.mkdir(name)
		}
		if err := errors.Join(tree.err, k.sweep(nil, 99)); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]bool{"naa.made": maker == 0, "naa.foreign": true} {
			if got := exists(k.configfs(), "target/loopback", name); got != want {
				t.Errorf("%d: %s is there: %v", maker, name, got)
			}
		}
		if got := k.groups[k.loopBus()]; got != 0 {
			t.Errorf("%d is still the maker", got)
		}
	}
}

// One that waits for the lock of a process that is killed in mkdir removes its target.
func TestNextMakerRemovesTheTargetThatWasBeingMade(t *testing.T) {
	k := newKernel(t)
	k.file("sys/bus/tcm_loop_bus/x", "")
	k.file(hostQueues, "1\n")
	k.groups[k.loopBus()] = 99
	tree := tree{machine: k.machine}
	tree.joinShared("loopback")
	tree.mkdir("loopback/naa.made")
	if tree.err != nil {
		t.Fatal(tree.err)
	}
	l, err := k.newLoopback(wwn, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if exists(k.configfs(), "target/loopback/naa.made") {
		t.Error("the target is left")
	}
}

// A sysfs that is read-only, as in a unit of systemd, costs the mark and no disk.
func TestTargetIsMadeWhereSysfsIsReadOnly(t *testing.T) {
	k := newKernel(t)
	k.file("sys/bus/tcm_loop_bus/x", "")
	k.file(hostQueues, "4\n")
	mark := k.machine.setGroup
	k.machine.setGroup = func(path string, id int) error {
		if path == k.loopBus() {
			return unix.EROFS
		}
		return mark(path, id)
	}
	l, err := k.newLoopback(wwn, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// The mark of a dead process is judged under the lock: while another makes a target, which
// has no mark yet, Sweep leaves that.
func TestSweepLeavesTheTargetThatIsBeingMade(t *testing.T) {
	k := newKernel(t)
	k.file("sys/bus/tcm_loop_bus/x", "")
	k.groups[k.loopBus()] = 99
	tree := tree{machine: k.machine}
	tree.joinShared("loopback")
	tree.mkdir("loopback/naa.made")
	if tree.err != nil {
		t.Fatal(tree.err)
	}
	bus, err := os.Open(k.loopBus())
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := errors.Join(flock(bus), k.sweep(nil, 99)); err != nil {
		t.Fatal(err)
	}
	if !exists(k.configfs(), "target/loopback/naa.made") {
		t.Error("the target is gone")
	}
}
