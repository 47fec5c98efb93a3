package tcmu

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A kernel is a fake of target_core_user, with plain memory for the ring and a
// socket for /dev/uioN. It keeps track of the commands in flight: like the
// kernel, it takes a completion with another id for a broken ring.
type kernel struct {
	mem  []byte
	mb   *mailbox
	size uint32
	data uint64 // where the data area starts
	file int    // our end of the socket

	mu      sync.Mutex
	head    uint32
	cleaned uint32                // offset up to which completions were consumed
	out     map[uint16]bool       // ids of the commands in flight
	done    map[uint16]completion // the last one of each id
	order   []uint16              // ids in the order of their completion
	broken  error
}

// A completion is a response as the kernel reads it.
type completion struct {
	status, uflags byte
	readLen        uint32
	sense          [senseBufferSize]byte
}

const (
	fakeRingOff  = 128
	fakeDataSize = 1 << 20
)

// newKernel returns a kernel with a ring of size bytes, and the device on the
// other side of it.
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
		out: map[uint16]bool{}, done: map[uint16]completion{},
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

// entry writes an entry of n bytes at the head and returns its memory. It writes
// a PAD before it if the entry does not fit before the end of the ring.
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

// free reports whether an entry of n bytes and a PAD fit.
func (k *kernel) free(n uint32) bool {
	used := k.head - k.cleaned
	if k.head < k.cleaned {
		used += k.size
	}
	return k.size-used > 2*n+8
}

// command writes the entry of a command. extents are offsets and lengths in the
// data area.
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

// aborted writes a task management entry that aborts ids.
func (k *kernel) aborted(ids ...uint16) { k.taskManagement(1, ids...) }

// taskManagement writes a task management entry of a type for ids.
func (k *kernel) taskManagement(typ byte, ids ...uint16) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entry(opTaskManagement, uint32(32+2*len(ids)+7)&^7)
	e[8] = typ
	binary.NativeEndian.PutUint32(e[12:], uint32(len(ids)))
	for i, id := range ids {
		binary.NativeEndian.PutUint16(e[32+2*i:], id)
	}
}

// post makes the entries visible, with or without an event.
func (k *kernel) post(event bool) {
	k.mb.head.Store(k.head)
	if event {
		_, _ = unix.Write(k.file, []byte{1, 0, 0, 0}) // a full socket holds events enough
	}
}

// consume reads the completions up to the tail, as tcmu_handle_completions does.
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
			c := completion{status: e[8], uflags: e[7], readLen: binary.NativeEndian.Uint32(e[12:])}
			copy(c.sense[:], e[16:])
			k.done[id] = c
			k.order = append(k.order, id)
		}
		k.cleaned = (k.cleaned + lenOp&^opMask) % k.size
	}
}

// wait waits for n completions in total.
func (k *kernel) wait(t testing.TB, n int) {
	t.Helper()
	for {
		// Before consume, so that no kick is lost.
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
			t.Fatalf("%d completions, and no kick for 10 s; want %d", have, n)
		}
	}
}

// handlerFunc adapts a function to Handler.
type handlerFunc func(cdb []byte, data [][]byte, wait bool) (Result, error)

func (f handlerFunc) Execute(cdb []byte, data [][]byte, wait bool) (Result, error) {
	return f(cdb, data, wait)
}
