package tcmu

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// killed plays a server that takes the commands on the ring of d, completes some
// of them in this order, publishes the first ones, and is killed.
func killed(t *testing.T, d *Device, published int, completed ...uint16) {
	t.Helper()
	for {
		taken, err := d.ring.take(new(command))
		if err != nil {
			t.Fatal(err)
		}
		if !taken {
			break
		}
	}
	for i, id := range completed {
		if i == published {
			d.ring.publish()
		}
		d.ring.complete(id, Result{})
	}
	if published == len(completed) {
		d.ring.publish()
	}
}

// reset plays reset_ring=1: it posts the commands in flight again.
func (k *kernel) reset() (again []uint16) {
	k.mu.Lock()
	for id := range k.out {
		again = append(again, id)
	}
	slices.Sort(again)
	k.head, k.cleaned, k.out = 0, 0, map[uint16]bool{}
	k.mb.head.Store(0)
	k.mb.tail.Store(0)
	k.mu.Unlock()
	for _, id := range again {
		k.command(id, make([]byte, 10))
	}
	k.post(false)
	return again
}

// A killed server has answered out of order. Each command that was not completed
// is executed again, none that was, and the ring stays intact.
func TestRecoveredRingExecutesWhatWasNotCompleted(t *testing.T) {
	for _, tt := range []struct {
		name      string
		published int
		completed []uint16
		want      []uint16
	}{
		{"nothing", 0, nil, []uint16{1, 2, 3, 4}},
		{"out of order, not published", 0, []uint16{3, 4}, []uint16{1, 2, 3, 4}},
		{"out of order, published", 2, []uint16{3, 4}, []uint16{1, 2}},
		{"one of each", 1, []uint16{4, 2}, []uint16{1, 2, 3}},
		{"all", 4, []uint16{4, 3, 2, 1}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, d := newKernel(t, 4096)
			for id := range uint16(4) {
				k.command(id+1, make([]byte, 10))
			}
			k.post(false)
			killed(t, d, tt.published, tt.completed...)
			var again []uint16
			err := d.Recover(func(pending bool) error {
				var kick [4]byte
				if n, _ := unix.Read(k.file, kick[:]); n == 0 {
					t.Error("the ring is reset before the kernel has looked at the responses")
				}
				k.consume()
				if pending != (len(tt.want) > 0) {
					t.Errorf("pending: %v", pending)
				}
				again = k.reset()
				return nil
			})
			if err != nil {
				t.Errorf("Recover() = %v", err)
			}
			if !slices.Equal(again, tt.want) {
				t.Errorf("sent again: %d, want %d", again, tt.want)
			}
			stop := serve(t, d, handlerFunc(func([]byte, [][]byte, bool) (Result, error) { return Result{}, nil }))
			k.wait(t, 4)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRecoverFailsIfTheRingIsNotReset(t *testing.T) {
	_, d := newKernel(t, 4096)
	if err := d.Recover(func(bool) error { return unix.ENOENT }); !errors.Is(err, unix.ENOENT) {
		t.Errorf("Recover() = %v", err)
	}
}

// The kernel must neither read nor change the note, nor we by what we write to
// the mailbox.
func TestSpareBytesLastAsLongAsTheRing(t *testing.T) {
	k, d := newKernel(t, 4096)
	if !bytes.Equal(d.Spare(), make([]byte, spare)) {
		t.Errorf("of a new device: %x", d.Spare())
	}
	for i := range d.Spare() {
		d.Spare()[i] = 0xff
	}
	k.command(1, make([]byte, 10))
	k.post(true)
	stop := serve(t, d, handlerFunc(func([]byte, [][]byte, bool) (Result, error) { return Result{}, nil }))
	k.wait(t, 1)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := d.Recover(func(bool) error { k.reset(); return nil }); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(d.Spare(), bytes.Repeat([]byte{0xff}, spare)) {
		t.Errorf("changed to %x", d.Spare())
	}
}

type settler struct {
	handlerFunc
	settled func(cdb []byte)
}

func (s settler) Settled(cdb []byte) { s.settled(cdb) }

// A command that waited is settled once the kernel has its completion, and its
// CDB is still the one that was executed.
func TestCommandsThatWaitedAreSettled(t *testing.T) {
	k, d := newKernel(t, 4096)
	settled := make(chan bool, 2)
	stop := serve(t, d, settler{
		func(_ []byte, _ [][]byte, wait bool) (Result, error) {
			if !wait {
				return Result{}, ErrWouldBlock
			}
			return Result{}, nil
		},
		func(cdb []byte) {
			settled <- cdb[0] == 0x89 && d.ring.mb.tail.Load() == d.ring.mb.head.Load()
		},
	})
	k.command(1, []byte{0x89, 15: 0})
	k.post(true)
	if !<-settled {
		t.Error("settled before the completion was published, or with another CDB")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A server that gives up may still have commands in execution. Their completions
// must not reach a ring that was reset.
func TestFencedRingIsLeftAlone(t *testing.T) {
	k, d := newKernel(t, 4096)
	executing, finish := make(chan bool), make(chan bool)
	stop := serve(t, d, handlerFunc(func(_ []byte, _ [][]byte, wait bool) (Result, error) {
		if !wait {
			return Result{}, ErrWouldBlock
		}
		executing <- true
		<-finish
		return Result{}, nil
	}))
	k.command(1, make([]byte, 10))
	k.post(true)
	<-executing
	d.Fence()()
	k.reset()
	head, tail := k.mb.head.Load(), k.mb.tail.Load()
	close(finish)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if k.mb.head.Load() != head || k.mb.tail.Load() != tail {
		t.Error("the fenced server has moved the tail")
	}
}
