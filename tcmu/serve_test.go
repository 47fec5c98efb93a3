package tcmu

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serve runs d.Serve and returns what stops it and gives its error.
func serve(t testing.TB, d *Device, h Handler) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, h) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	t.Cleanup(func() { stop() })
	return stop
}

// readWrite is a handler that, by the first byte of the CDB, fills or checks
// its buffers with the pattern of the command's number, in bytes 2 to 5.
func readWrite(slow func(n uint32) bool) handlerFunc {
	return func(cdb []byte, data [][]byte, wait bool) (byte, int, []byte, bool) {
		n := binary.BigEndian.Uint32(cdb[2:])
		if slow(n) && !wait {
			return 0, 0, nil, false
		}
		total := 0
		for _, b := range data {
			for i := range b {
				if cdb[0] == 0x28 {
					b[i] = byte(n)
				} else if b[i] != byte(n) {
					return checkCondition, 0, []byte{0x70, 0, 0x0e}, true
				}
			}
			total += len(b)
		}
		if cdb[0] != 0x28 {
			total = 0
		}
		return 0, total, nil, true
	}
}

// TestServeAnswersEveryCommandOnce posts many commands, with ids used again as
// soon as they are free, over a ring so small that it goes round many times,
// and lets some of them be slow.
func TestServeAnswersEveryCommandOnce(t *testing.T) {
	const total, depth = 20_000, 12
	k, d := newKernel(t, 4096+64) // no multiple of an entry
	stop := serve(t, d, readWrite(func(n uint32) bool { return n%7 == 0 }))

	posted := 0
	lengths := map[uint16]uint32{}
	for done := 0; done < total; {
		for posted < total && len(k.out) < depth && k.free(48+16*20+24) {
			id := uint16(1)
			for k.out[id] {
				id++ // the lowest free one, as the kernel does
			}
			cdb := make([]byte, 10)
			cdb[0] = 0x28 + byte(posted%2)*2
			binary.BigEndian.PutUint32(cdb[2:], uint32(posted))
			var extents [][2]uint64
			lengths[id] = 0
			for i := range uint64(rand.IntN(20)) {
				off, n := uint64(id)<<15+i*512, rand.Uint64N(500)
				extents = append(extents, [2]uint64{off, n})
				if cdb[0] == 0x28 {
					lengths[id] += uint32(n)
					continue
				}
				for j := range n {
					k.mem[k.data+off+j] = byte(posted)
				}
			}
			k.command(id, cdb, extents...)
			if posted%50 == 0 {
				k.aborted(9999) // of no command: an entry to be passed over
			}
			k.show(true)
			posted++
		}
		k.wait(t, done+1)
		for ; done < len(k.order); done++ {
			id := k.order[done]
			if a := k.answers[id]; !k.out[id] && (a.status != 0 || a.readLen != lengths[id]) {
				t.Fatalf("answer %d, id %d: %+v, want status 0 and %d bytes", done, id, a, lengths[id])
			}
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if len(k.out) != 0 {
		t.Errorf("%d commands without an answer", len(k.out))
	}
}

// A command that waits delays no other, not even when there are more of them
// than workers.
func TestServeLetsFastCommandsPassSlowOnes(t *testing.T) {
	k, d := newKernel(t, 65536)
	release := make(chan struct{})
	stop := serve(t, d, handlerFunc(func(cdb []byte, _ [][]byte, wait bool) (byte, int, []byte, bool) {
		if cdb[0] == 0x35 {
			if !wait {
				return 0, 0, nil, false
			}
			<-release
		}
		return 0, 0, nil, true
	}))
	const slow = 2 * maxWorkers
	for id := range uint16(slow) {
		k.command(id+1, []byte{0x35, 9: 0})
	}
	k.command(1000, []byte{0, 5: 0})
	k.show(true)
	k.wait(t, 1)
	if k.order[0] != 1000 {
		t.Errorf("the first answer is to %d, want the fast command's", k.order[0])
	}
	close(release)
	k.wait(t, slow+1)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// An aborted command is executed all the same: its initiator may be told that
// it has succeeded.
func TestServeExecutesAbortedCommands(t *testing.T) {
	k, d := newKernel(t, 65536)
	release := make(chan struct{})
	var executed atomic.Int32
	stop := serve(t, d, handlerFunc(func(cdb []byte, _ [][]byte, wait bool) (byte, int, []byte, bool) {
		if cdb[0] == 0x35 {
			if !wait {
				return 0, 0, nil, false
			}
			executed.Add(1)
			<-release
		}
		return 0, 0, nil, true
	}))
	ids := make([]uint16, maxWorkers+8)
	for i := range ids {
		ids[i] = uint16(i + 1)
		k.command(ids[i], []byte{0x35, 9: 0})
	}
	k.aborted(ids...)
	k.command(1000, []byte{0, 5: 0})
	k.show(true)
	k.wait(t, 1) // the one behind the abort, so that this was seen
	close(release)
	k.wait(t, len(ids)+1)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := int(executed.Load()); n != len(ids) {
		t.Errorf("%d executed, of %d", n, len(ids))
	}
}

// A managed is a handler that keeps a record of what it is told.
type managed struct {
	handlerFunc
	told chan<- string
}

func (m managed) TaskManagement(reset bool) { m.told <- fmt.Sprint("task management, reset ", reset) }

// Whoever executes commands is told of task management in its order among them.
func TestServeTellsOfTaskManagement(t *testing.T) {
	k, d := newKernel(t, 65536)
	told := make(chan string, 10)
	stop := serve(t, d, managed{func(cdb []byte, _ [][]byte, _ bool) (byte, int, []byte, bool) {
		told <- fmt.Sprintf("command %x", cdb[0])
		return 0, 0, nil, true
	}, told})
	k.command(1, []byte{0x12, 5: 0})
	k.aborted()
	k.command(2, []byte{0x03, 5: 0})
	k.taskManagement(5)
	k.command(3, []byte{0x00, 5: 0})
	k.show(true)
	k.wait(t, 3)
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"command 12", "task management, reset false", "command 3", "task management, reset true", "command 0",
	} {
		if got := <-told; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What was posted before Serve, or without an event, is found all the same.
func TestServeLooksAtTheRingBeforeItWaits(t *testing.T) {
	k, d := newKernel(t, 4096)
	k.command(1, []byte{0, 5: 0})
	k.show(false)
	serve(t, d, readWrite(func(uint32) bool { return false }))
	k.wait(t, 1)
}

func TestServeEndsWithItsGoroutines(t *testing.T) {
	k, d := newKernel(t, 65536)
	before := runtime.NumGoroutine()
	var running atomic.Int32
	stop := serve(t, d, handlerFunc(func(_ []byte, _ [][]byte, wait bool) (byte, int, []byte, bool) {
		if !wait {
			return 0, 0, nil, false
		}
		running.Add(1)
		defer running.Add(-1)
		runtime.Gosched()
		return 0, 0, nil, true
	}))
	for id := range uint16(100) {
		k.command(id+1, []byte{0, 5: 0})
	}
	k.show(true)
	k.wait(t, 1)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := running.Load(); n != 0 {
		t.Errorf("%d handlers run after Serve returned", n)
	}
	// One that has said that it is done may still have an instruction to go.
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines after Serve, %d before", n, before)
	}
	k.wait(t, 100)
}

func TestServeEndsWhenTheDeviceIsGone(t *testing.T) {
	k, d := newKernel(t, 4096)
	done := make(chan error)
	go func() { done <- d.Serve(context.Background(), readWrite(func(uint32) bool { return false })) }()
	k.command(1, []byte{0, 5: 0})
	k.show(true)
	k.wait(t, 1)
	unix.Shutdown(k.file, unix.SHUT_RDWR)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "removed the device") {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeEndsWhenTheRingIsBroken(t *testing.T) {
	k, d := newKernel(t, 4096)
	done := make(chan error)
	go func() { done <- d.Serve(context.Background(), readWrite(func(uint32) bool { return false })) }()
	k.mb.head.Store(64) // entries of no length
	unix.Write(k.file, []byte{1, 0, 0, 0})
	if err := <-done; err == nil || !strings.Contains(err.Error(), "length of 0") {
		t.Errorf("Serve: %v", err)
	}
}

// BenchmarkServe measures a command from its post to its answer, the kernel's
// half included, in batches of depth.
func BenchmarkServe(b *testing.B) {
	for _, bb := range []struct {
		name  string
		op    byte
		depth int
		watch bool
	}{
		{"Read4KiB/qd1", 0x28, 1, false},
		{"Read4KiB/qd32", 0x28, 32, false},
		{"Read4KiB/qd32/watched", 0x28, 32, true},
		{"Write4KiB/qd1", 0x2a, 1, false},
		{"Write4KiB/qd32", 0x2a, 32, false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			k, d := newKernel(b, 65536)
			medium := make([]byte, 4096)
			stop := serve(b, d, handlerFunc(func(cdb []byte, data [][]byte, _ bool) (byte, int, []byte, bool) {
				if cdb[0] == 0x28 {
					return 0, copy(data[0], medium), nil, true
				}
				copy(medium, data[0])
				return 0, 0, nil, true
			}))
			if bb.watch {
				var m Meter
				d.SetWatcher(watcherFunc(func(w watched) { m.Add(w.took) }))
			}
			cdb := []byte{bb.op, 9: 0}
			b.SetBytes(4096)
			b.ReportAllocs()
			for done := 0; b.Loop(); {
				if done++; done%bb.depth != 0 {
					k.command(uint16(done%bb.depth+1), cdb, [2]uint64{uint64(done%bb.depth) * 4096, 4096})
					continue
				}
				k.command(uint16(done%bb.depth+1), cdb, [2]uint64{0, 4096})
				k.show(true)
				k.order = k.order[:0]
				k.wait(b, bb.depth)
			}
			b.StopTimer()
			if err := stop(); err != nil {
				b.Error(err)
			}
		})
	}
}
