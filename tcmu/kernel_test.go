package tcmu

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A kernel plays the other half of a ring, over plain memory and a socket in
// place of /dev/uioN. It posts entries as target_core_user does, and knows
// which commands are out, so that a wrong answer is found as the kernel finds
// it: an id that is not out breaks the ring.
type kernel struct {
	mem  []byte
	mb   *mailbox
	size uint32
	data uint64 // where the data area starts
	file int    // our end of the socket

	mu      sync.Mutex
	head    uint32
	cleaned uint32            // how far answers were consumed
	out     map[uint16]bool   // commands not yet answered
	answers map[uint16]answer // those consumed
	order   []uint16
	broken  error
}

// An answer is what the kernel found in a slot.
type answer struct {
	status, uflags byte
	readLen        uint32
	sense          [senseBufferSize]byte
}

const (
	fakeRingOff  = 128
	fakeDataSize = 1 << 20
)

// newKernel returns a kernel with a ring of size bytes, and the device that
// shares it.
func newKernel(t testing.TB, size uint32) (*kernel, *Device) {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, int(fakeRingOff+size+fakeDataSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{
		mem: mem, mb: at[mailbox](mem, 0), size: size, data: fakeRingOff + uint64(size), file: fds[0],
		out: map[uint16]bool{}, answers: map[uint16]answer{},
	}
	k.mb.version, k.mb.flags, k.mb.cmdrOff, k.mb.cmdrSize = 2, 0xf, fakeRingOff, size
	ring, err := newRing(mem)
	if err != nil {
		t.Fatal(err)
	}
	uio, err := newUIO(os.NewFile(uintptr(fds[1]), "uio"))
	if err != nil {
		t.Fatal(err)
	}
	d := &Device{name: "fake", uio: uio, mem: mem, ring: ring}
	t.Cleanup(func() {
		unix.Close(k.file)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return k, d
}

// entry writes an entry of op and n bytes at the head, after a PAD if it does
// not fit before the end of the ring, and returns its memory.
func (k *kernel) entry(op, n uint32) []byte {
	if k.size-k.head < n {
		k.put(opPad, k.size-k.head)
	}
	return k.put(op, n)
}

func (k *kernel) put(op, n uint32) []byte {
	e := k.mem[fakeRingOff+k.head:][:n]
	clear(e)
	binary.NativeEndian.PutUint32(e, n|op)
	k.head = (k.head + n) % k.size
	return e
}

// free says whether n bytes fit, with room for a PAD.
func (k *kernel) free(n uint32) bool {
	used := k.head - k.cleaned
	if k.head < k.cleaned {
		used += k.size
	}
	return k.size-used > 2*n+8
}

// command posts a command with its data in extents of the data area, given as
// offsets and lengths.
func (k *kernel) command(id uint16, cdb []byte, extents ...[2]uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cdbOff := max(112, 48+16*len(extents))
	n := uint32(cdbOff+len(cdb)+7) &^ 7
	e := k.entry(opCommand, n)
	start := uint64(fakeRingOff) + uint64(k.head+k.size-n)%uint64(k.size)
	binary.NativeEndian.PutUint16(e[4:], id)
	binary.NativeEndian.PutUint32(e[8:], uint32(len(extents)))
	binary.NativeEndian.PutUint64(e[24:], start+uint64(cdbOff))
	for i, x := range extents {
		binary.NativeEndian.PutUint64(e[48+16*i:], k.data+x[0])
		binary.NativeEndian.PutUint64(e[56+16*i:], x[1])
	}
	copy(e[cdbOff:], cdb)
	k.out[id] = true
}

// aborted posts a task management entry that aborts ids.
func (k *kernel) aborted(ids ...uint16) { k.taskManagement(1, ids...) }

// taskManagement posts a task management entry of a kind about ids.
func (k *kernel) taskManagement(kind byte, ids ...uint16) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entry(opTaskManagement, uint32(32+2*len(ids)+7)&^7)
	e[8] = kind
	binary.NativeEndian.PutUint32(e[12:], uint32(len(ids)))
	for i, id := range ids {
		binary.NativeEndian.PutUint16(e[32+2*i:], id)
	}
}

// show lets the other side see what was posted, with or without an event.
func (k *kernel) show(event bool) {
	k.mb.head.Store(k.head)
	if event {
		_, _ = unix.Write(k.file, []byte{1, 0, 0, 0}) // full means that it is awake anyway
	}
}

// consume takes the answers up to the tail, as tcmu_handle_completions does.
func (k *kernel) consume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	tail := k.mb.tail.Load()
	for k.cleaned != tail && k.broken == nil {
		e := k.mem[fakeRingOff+k.cleaned:]
		lenOp := binary.NativeEndian.Uint32(e)
		if lenOp&opMask == opCommand {
			id := binary.NativeEndian.Uint16(e[4:])
			if !k.out[id] {
				k.broken = fmt.Errorf("cmd_id %d not found, ring is broken", id)
				return
			}
			delete(k.out, id)
			a := answer{status: e[8], uflags: e[7], readLen: binary.NativeEndian.Uint32(e[12:])}
			copy(a.sense[:], e[16:])
			k.answers[id] = a
			k.order = append(k.order, id)
		}
		k.cleaned = (k.cleaned + lenOp&^opMask) % k.size
	}
}

// wait consumes answers until n have come since the start.
func (k *kernel) wait(t testing.TB, n int) {
	t.Helper()
	for {
		// The kicks first, so that none of them is about answers not yet seen.
		var kicks [4096]byte
		_, _ = unix.Read(k.file, kicks[:])
		k.consume()
		k.mu.Lock()
		have, err := len(k.order), k.broken
		k.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if have >= n {
			return
		}
		fds := []unix.PollFd{{Fd: int32(k.file), Events: unix.POLLIN}}
		if ready, err := unix.Poll(fds, 10_000); err == unix.EINTR {
			continue
		} else if err != nil || ready == 0 {
			t.Fatalf("%d answers after 10 s without a kick, want %d", have, n)
		}
	}
}

// handlerFunc makes a Handler of a function.
type handlerFunc func(cdb []byte, data [][]byte, wait bool) (byte, int, []byte, bool)

func (f handlerFunc) Execute(cdb []byte, data [][]byte, wait bool) (byte, int, []byte, bool) {
	return f(cdb, data, wait)
}
