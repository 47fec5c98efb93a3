package tcmu

import (
	"bytes"
	"slices"
	"testing"
	"unsafe"
)

// TestABI compares our types with target_core_user.h. The numbers come from
// offsetof and sizeof in C.
func TestABI(t *testing.T) {
	var (
		mb  mailbox
		h   header
		req request
		rsp response
		iov iovec
		tmr taskManagement
	)
	for _, tt := range []struct {
		field     string
		got, want uintptr
	}{
		{"mailbox.version", unsafe.Offsetof(mb.version), 0},
		{"mailbox.flags", unsafe.Offsetof(mb.flags), 2},
		{"mailbox.cmdr_off", unsafe.Offsetof(mb.cmdrOff), 4},
		{"mailbox.cmdr_size", unsafe.Offsetof(mb.cmdrSize), 8},
		{"mailbox.cmd_head", unsafe.Offsetof(mb.head), 12},
		{"mailbox.cmd_tail", unsafe.Offsetof(mb.tail), 64},
		{"sizeof(mailbox)", unsafe.Sizeof(mb), 128},
		{"hdr.len_op", unsafe.Offsetof(h.lenOp), 0},
		{"hdr.cmd_id", unsafe.Offsetof(h.id), 4},
		{"hdr.kflags", unsafe.Offsetof(h.kflags), 6},
		{"hdr.uflags", unsafe.Offsetof(h.uflags), 7},
		{"sizeof(cmd_entry_hdr)", unsafe.Sizeof(h), 8},
		{"req.iov_cnt", unsafe.Offsetof(req.iovCount), 8},
		{"req.iov_bidi_cnt", unsafe.Offsetof(req.bidiCount), 12},
		{"req.iov_dif_cnt", unsafe.Offsetof(req.difCount), 16},
		{"req.cdb_off", unsafe.Offsetof(req.cdbOff), 24},
		{"req.iov", unsafe.Sizeof(req), 48},
		{"iovec.iov_len", unsafe.Offsetof(iov.len), 8},
		{"sizeof(iovec)", unsafe.Sizeof(iov), 16},
		{"tmr.tmr_type", unsafe.Offsetof(tmr.typ), 8},
		{"tmr.cmd_cnt", unsafe.Offsetof(tmr.count), 12},
		{"tmr.cmd_ids", unsafe.Sizeof(tmr), 32},
		{"rsp.scsi_status", unsafe.Offsetof(rsp.status), 8},
		{"rsp.read_len", unsafe.Offsetof(rsp.readLen), 12},
		{"rsp.sense_buffer", unsafe.Offsetof(rsp.sense), 16},
		{"sizeof(cmd_entry)", unsafe.Sizeof(rsp), 112},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %d, want %d as in the kernel", tt.field, tt.got, tt.want)
		}
	}
}

// mustTake takes the next command, which must have this id.
func mustTake(t *testing.T, r *ring, id uint16) *command {
	t.Helper()
	c := new(command)
	if ok, err := r.take(c); !ok || err != nil || c.id != id {
		t.Fatalf("take() = %v, %v with id %d; want id %d", ok, err, c.id, id)
	}
	return c
}

func TestRingTakesCommandsInOrder(t *testing.T) {
	k, d := newKernel(t, 4096)
	inquiry := []byte{0x12, 0, 0, 0, 36, 0}
	k.command(7, inquiry)
	k.command(8, []byte{0, 0, 0, 0, 0, 0})
	k.post(false)

	if c := mustTake(t, d.ring, 7); !bytes.HasPrefix(c.cdb, inquiry) {
		t.Errorf("CDB % x, posted % x", c.cdb, inquiry)
	}
	mustTake(t, d.ring, 8)
	if ok, err := d.ring.take(new(command)); ok || err != nil {
		t.Errorf("take() = %v, %v on an empty ring", ok, err)
	}
}

func TestDataBuffersAreInTheDataArea(t *testing.T) {
	k, d := newKernel(t, 4096)
	k.command(1, []byte{0x28, 9: 0}, [2]uint64{4096, 512}, [2]uint64{0, 4096}, [2]uint64{fakeDataSize - 8, 8})
	k.post(false)
	c := mustTake(t, d.ring, 1)
	for i, want := range []struct{ off, n int }{{4096, 512}, {0, 4096}, {fakeDataSize - 8, 8}} {
		got := c.data[i]
		if len(got) != want.n || cap(got) != want.n || &got[0] != &k.mem[int(k.data)+want.off] {
			t.Errorf("buffer %d has %d bytes and a capacity of %d, want %d at %#x of the data area", i, len(got), cap(got), want.n, want.off)
		}
	}
}

// A response overwrites the oldest entry, so the kernel must see each id exactly
// once, in the order of completion.
func TestRingCompletesCommandsInAnyOrder(t *testing.T) {
	k, d := newKernel(t, 4096)
	for _, order := range [][]uint16{{1, 2, 3}, {3, 2, 1}, {2, 3, 1}} {
		for id := uint16(1); id <= 3; id++ {
			k.command(id, []byte{0, 0, 0, 0, 0, byte(id)})
		}
		k.post(false)
		for id := uint16(1); id <= 3; id++ {
			mustTake(t, d.ring, id)
		}
		before := len(k.order)
		for _, id := range order {
			d.ring.complete(id, Result{Status: byte(id)})
			if !d.ring.publish() {
				t.Fatal("publish() reports nothing new after a completion")
			}
			k.consume()
		}
		if got := k.order[before:]; k.broken != nil || !slices.Equal(got, order) {
			t.Errorf("completed %v, the kernel saw %v: %v", order, got, k.broken)
		}
	}
}

// The tail passes entries that are not commands even if there are no others.
func TestRingSkipsEntriesThatAreNotCommands(t *testing.T) {
	for _, tt := range []struct {
		name string
		post func(*kernel)
		want byte // uflags
	}{
		{"pad", func(k *kernel) { k.put(opPad, 8) }, 0},
		{"task management", func(k *kernel) { k.aborted(1, 2, 3) }, 0},
		{"unknown", func(k *kernel) { k.put(5, 64) }, flagUnknownOp},
		{"a command too short for its response", func(k *kernel) { k.put(opCommand, 104) }, flagUnknownOp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, d := newKernel(t, 4096)
			tt.post(k)
			k.post(false)
			if ok, err := d.ring.take(new(command)); ok || err != nil {
				t.Fatalf("take() = %v, %v; there is no command", ok, err)
			}
			if !d.ring.publish() || k.mb.tail.Load() != k.head {
				t.Errorf("tail is at %#x, want it to pass the entry up to %#x", k.mb.tail.Load(), k.head)
			}
			if got := k.mem[fakeRingOff+7]; got != tt.want {
				t.Errorf("uflags of the entry are %#x, want %#x", got, tt.want)
			}
		})
	}
}

// An entry that is not a command must not move the tail past a command.
func TestTailWaitsForOldestCommand(t *testing.T) {
	k, d := newKernel(t, 4096)
	k.command(1, []byte{0, 0, 0, 0, 0, 0})
	k.aborted(1)
	k.command(2, []byte{0, 0, 0, 0, 0, 0})
	k.post(false)
	mustTake(t, d.ring, 1)
	mustTake(t, d.ring, 2)
	if d.ring.publish() {
		t.Fatal("the tail moved before a command was completed")
	}
	d.ring.complete(2, Result{})
	d.ring.complete(1, Result{})
	d.ring.publish()
	if k.consume(); k.broken != nil || len(k.order) != 2 || k.mb.tail.Load() != k.head {
		t.Errorf("the kernel saw %v, tail %#x of %#x: %v", k.order, k.mb.tail.Load(), k.head, k.broken)
	}
}

func TestResponseHasSenseDataAndLength(t *testing.T) {
	k, d := newKernel(t, 4096)
	k.command(1, []byte{0x28, 9: 0}, [2]uint64{0, 4096}, [2]uint64{8192, 4096}, [2]uint64{16384, 4096}, [2]uint64{20480 + 4096, 4096})
	k.command(2, []byte{0x12, 5: 0}, [2]uint64{0, 36})
	k.post(false)
	mustTake(t, d.ring, 1)
	mustTake(t, d.ring, 2)
	d.ring.complete(1, Result{Status: checkCondition, Sense: []byte{0x70, 0, 3}})
	d.ring.complete(2, Result{DataIn: 36})
	d.ring.publish()
	k.consume()
	want := completion{status: checkCondition}
	copy(want.sense[:], []byte{0x70, 0, 3})
	if got := k.done[1]; got != want {
		t.Errorf("completion with sense data is %+v, want %+v without remains of the request", got, want)
	}
	if got := k.done[2]; got.uflags != flagReadLen || got.readLen != 36 || got.status != 0 {
		t.Errorf("completion with a length is %+v", got)
	}
}

func TestInvalidMailboxIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*mailbox){
		"version":                    func(mb *mailbox) { mb.version = 3 },
		"no out of order completion": func(mb *mailbox) { mb.flags = 0 },
		"ring past end":              func(mb *mailbox) { mb.cmdrSize = 1 << 31 },
		"no ring":                    func(mb *mailbox) { mb.cmdrSize = 0 },
		"ring unaligned":             func(mb *mailbox) { mb.cmdrOff = 129 },
		"tail past end":              func(mb *mailbox) { mb.tail.Store(4096) },
		"tail unaligned":             func(mb *mailbox) { mb.tail.Store(12) },
		"offset past end":            func(mb *mailbox) { mb.cmdrOff = 0xfffffff8 },
	} {
		k, _ := newKernel(t, 4096)
		spoil(k.mb)
		if _, err := newRing(k.mem); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := newRing(make([]byte, 16)); err == nil {
		t.Error("mapping too short: no error")
	}
}

// FuzzRing fills a ring with arbitrary bytes and moves the head anywhere. No
// entry may make the ring panic, return memory outside of the data area, or
// complete a command twice.
func FuzzRing(f *testing.F) {
	seed := func(post func(*kernel)) {
		k, _ := newKernel(f, 1024)
		post(k)
		f.Add(bytes.Clone(k.mem[fakeRingOff:][:1024]), k.head)
	}
	seed(func(k *kernel) { k.command(1, []byte{0x28, 9: 0}, [2]uint64{0, 4096}) })
	seed(func(k *kernel) { k.put(opPad, 8); k.aborted(1, 2); k.put(7, 16) })
	seed(func(k *kernel) {
		k.command(1, []byte{0, 5: 0})
		k.command(1, []byte{0x7f, 31: 0}, [2]uint64{1 << 40, 1 << 63})
	})
	f.Add([]byte{}, uint32(1<<31))
	f.Fuzz(func(t *testing.T, content []byte, head uint32) {
		mem := make([]byte, fakeRingOff+1024+4096)
		mb := at[mailbox](mem, 0)
		mb.version, mb.flags, mb.cmdrOff, mb.cmdrSize = 2, 0xf, fakeRingOff, 1024
		copy(mem[fakeRingOff:][:1024], content)
		r, err := newRing(mem)
		if err != nil {
			t.Fatal(err)
		}
		mb.head.Store(head)
		var taken []uint16
		for {
			var c command
			ok, err := r.take(&c)
			for _, b := range c.data {
				clear(b) // faults if it is outside of mem
				if len(b) > 4096 {
					t.Fatalf("buffer of %d bytes in a data area of 4096", len(b))
				}
			}
			if !ok || err != nil {
				break
			}
			taken = append(taken, c.id)
		}
		for i, id := range slices.Backward(taken) {
			r.complete(id, Result{checkCondition, int32(i), []byte{0x70}})
		}
		if r.publish(); r.count != 0 || mb.tail.Load() >= 1024 {
			t.Errorf("%d commands not completed, tail %#x", r.count, mb.tail.Load())
		}
	})
}
