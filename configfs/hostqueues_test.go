package configfs

import (
	"os"
	"testing"
	"time"
)

const hostQueues = "sys/module/tcm_loop/parameters/nr_hw_queues"

// madeWith returns the parameter nr_hw_queues and its owner as they are while the
// kernel makes the host of a target.
func (k *kernel) madeWith(t *testing.T, oneQueue bool) (queues string, owner int) {
	t.Helper()
	k.refuse = func(verb, name string) bool {
		if verb == "mkdir" && name == "loopback/"+wwn {
			queues, owner = k.read(hostQueues), k.groups[k.hostQueues()]
		}
		return false
	}
	l, err := k.newLoopback(wwn, oneQueue)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return queues, owner
}

func TestHostIsMadeWithTwoQueues(t *testing.T) {
	for before, want := range map[string]string{"1\n": "2\n", "2\n": "2\n", "4\n": "4\n"} {
		k := newKernel(t)
		k.file(hostQueues, before)
		queues, owner := k.madeWith(t, false)
		if changed := before != want; queues != want || (owner == k.self().pid) != changed {
			t.Errorf("%q while the host is made, of owner %d; it was %q", queues, owner, before)
		}
		if after := k.read(hostQueues); after != before || k.groups[k.hostQueues()] != 0 {
			t.Errorf("%q after that, of owner %d; it was %q", after, k.groups[k.hostQueues()], before)
		}
	}
}

func TestQueuesAreLeftAlone(t *testing.T) {
	k := newKernel(t)
	k.file(hostQueues, "1\n")
	if queues, _ := k.madeWith(t, true); queues != "1\n" {
		t.Errorf("%q, though one queue was asked for", queues)
	}
	k = newKernel(t)
	if k.madeWith(t, false); exists(k.hostQueues()) {
		t.Error("lunserve makes a parameter that the kernel does not have")
	}
}

// A process is killed while it makes a host. Until it has ended it has the lock.
func TestSweepRestoresTheQueuesOfTheKilled(t *testing.T) {
	k := newKernel(t)
	k.file(hostQueues, "2\n")
	k.groups[k.hostQueues()] = 99
	lock, err := os.Open(k.hostQueues())
	if err == nil {
		err = flock(lock)
	}
	if err != nil {
		t.Fatal(err)
	}
	swept := make(chan error)
	go func() { swept <- k.sweep(nil, 0) }()
	time.Sleep(10 * time.Millisecond) // a sweep that does not wait restores it by now
	if got := k.read(hostQueues); got != "2\n" {
		t.Errorf("%q, though its owner lives", got)
	}
	lock.Close()
	if err := <-swept; err != nil || k.read(hostQueues) != "1\n" || k.groups[k.hostQueues()] != 0 {
		t.Errorf("%q, %v; the process is dead", k.read(hostQueues), err)
	}
	k.file(hostQueues, "2\n")
	k.groups[k.hostQueues()] = 99
	if queues, _ := k.madeWith(t, false); queues != "2\n" || k.read(hostQueues) != "1\n" {
		t.Errorf("%q while a host is made, then %q", queues, k.read(hostQueues))
	}
}
