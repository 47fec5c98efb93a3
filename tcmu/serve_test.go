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

// serve starts d.Serve. stop ends it and returns its error.
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

// readWrite returns a handler of READ(10), which fills the buffers with the low
// byte of the LBA, and WRITE(10), which compares them with it. slow commands
// would block.
func readWrite(slow func(n uint32) bool) handlerFunc {
	return func(cdb []byte, data [][]byte, wait bool) (Result, error) {
		n := binary.BigEndian.Uint32(cdb[2:])
		if slow(n) && !wait {
			return Result{}, ErrWouldBlock
		}
		total := 0
		for _, b := range data {
			for i := range b {
				if cdb[0] == 0x28 {
					b[i] = byte(n)
				} else if b[i] != byte(n) {
					return Result{Status: checkCondition, Sense: []byte{0x70, 0, 0x0e}}, nil
				}
			}
			total += len(b)
		}
		if cdb[0] != 0x28 {
			total = 0
		}
		return Result{DataIn: int32(total)}, nil
	}
}

// It posts many commands, some of them slow, on a ring so small that it wraps
// often. Ids are reused as soon as they are free.
func TestEveryCommandIsCompletedOnce(t *testing.T) {
	const total, depth = 20_000, 12
	k, d := newKernel(t, 4096+64) // not a multiple of the entry size
	stop := serve(t, d, readWrite(func(n uint32) bool { return n%7 == 0 }))

	posted := 0
	lengths := map[uint16]uint32{}
	for done := 0; done < total; {
		for posted < total && len(k.out) < depth && k.free(48+16*20+24) {
			id := uint16(1)
			for k.out[id] {
				id++ // the lowest free id, as in the kernel
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
				k.aborted(9999) // an unknown id; the entry is skipped
			}
			k.post(true)
			posted++
		}
		k.wait(t, done+1)
		for ; done < len(k.order); done++ {
			id := k.order[done]
			if a := k.done[id]; !k.out[id] && (a.status != 0 || a.readLen != lengths[id]) {
				t.Fatalf("completion %d, id %d: %+v, want status 0 and %d bytes", done, id, a, lengths[id])
			}
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if len(k.out) != 0 {
		t.Errorf("%d commands not completed", len(k.out))
	}
}

// Slow commands do not delay fast ones, even if there are more of them than
// workers.
func TestFastCommandsPassSlowOnes(t *testing.T) {
	k, d := newKernel(t, 65536)
	release := make(chan struct{})
	stop := serve(t, d, handlerFunc(func(cdb []byte, _ [][]byte, wait bool) (Result, error) {
		if cdb[0] == 0x35 {
			if !wait {
				return Result{}, ErrWouldBlock
			}
			<-release
		}
		return Result{}, nil
	}))
	const slow = 2 * maxWorkers
	for id := range uint16(slow) {
		k.command(id+1, []byte{0x35, 9: 0})
	}
	k.command(1000, []byte{0, 5: 0})
	k.post(true)
	k.wait(t, 1)
	if k.order[0] != 1000 {
		t.Errorf("command %d is completed first, want the fast one", k.order[0])
	}
	close(release)
	k.wait(t, slow+1)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// The initiator of an aborted command may see it succeed, so it must be executed.
func TestAbortedCommandsAreExecuted(t *testing.T) {
	k, d := newKernel(t, 65536)
	release := make(chan struct{})
	var executed atomic.Int32
	stop := serve(t, d, handlerFunc(func(cdb []byte, _ [][]byte, wait bool) (Result, error) {
		if cdb[0] == 0x35 {
			if !wait {
				return Result{}, ErrWouldBlock
			}
			executed.Add(1)
			<-release
		}
		return Result{}, nil
	}))
	ids := make([]uint16, maxWorkers+8)
	for i := range ids {
		ids[i] = uint16(i + 1)
		k.command(ids[i], []byte{0x35, 9: 0})
	}
	k.aborted(ids...)
	k.command(1000, []byte{0, 5: 0})
	k.post(true)
	k.wait(t, 1) // it was posted after the abort, which was taken by then
	close(release)
	k.wait(t, len(ids)+1)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := int(executed.Load()); n != len(ids) {
		t.Errorf("%d of %d commands executed", n, len(ids))
	}
}

// A taskManager is a handler that records task management.
type taskManager struct {
	handlerFunc
	calls chan<- string
}

func (m taskManager) TaskManagement(reset bool) {
	m.calls <- fmt.Sprint("task management, reset ", reset)
}

func TestTaskManagementIsInOrderWithCommands(t *testing.T) {
	k, d := newKernel(t, 65536)
	calls := make(chan string, 10)
	stop := serve(t, d, taskManager{func(cdb []byte, _ [][]byte, _ bool) (Result, error) {
		calls <- fmt.Sprintf("command %x", cdb[0])
		return Result{}, nil
	}, calls})
	k.command(1, []byte{0x12, 5: 0})
	k.aborted()
	k.command(2, []byte{0x03, 5: 0})
	k.taskManagement(5)
	k.command(3, []byte{0x00, 5: 0})
	k.post(true)
	k.wait(t, 3)
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"command 12", "task management, reset false", "command 3", "task management, reset true", "command 0",
	} {
		if got := <-calls; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Serve must not wait for an event first: commands may have been posted before
// it was called.
func TestServeReadsRingBeforeItWaits(t *testing.T) {
	k, d := newKernel(t, 4096)
	k.command(1, []byte{0, 5: 0})
	k.post(false)
	serve(t, d, readWrite(func(uint32) bool { return false }))
	k.wait(t, 1)
}

func TestServeReturnsAfterItsGoroutines(t *testing.T) {
	k, d := newKernel(t, 65536)
	before := runtime.NumGoroutine()
	var running atomic.Int32
	h := handlerFunc(func(_ []byte, _ [][]byte, wait bool) (Result, error) {
		if !wait {
			return Result{}, ErrWouldBlock
		}
		running.Add(1)
		defer running.Add(-1)
		runtime.Gosched()
		return Result{}, nil
	})
	stop := serve(t, d, h)
	for id := range uint16(100) {
		k.command(id+1, []byte{0, 5: 0})
	}
	k.post(true)
	k.wait(t, 1)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := running.Load(); n != 0 {
		t.Errorf("%d handlers still run after Serve returned", n)
	}
	// A worker still counts for a moment after WaitGroup.Go has seen its end.
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines after Serve, %d before", n, before)
	}
	serve(t, d, h) // it may have left some
	k.wait(t, 100)
}

func TestServeFailsWhenDeviceIsRemoved(t *testing.T) {
	k, d := newKernel(t, 4096)
	done := make(chan error)
	go func() { done <- d.Serve(context.Background(), readWrite(func(uint32) bool { return false })) }()
	k.command(1, []byte{0, 5: 0})
	k.post(true)
	k.wait(t, 1)
	unix.Shutdown(k.file, unix.SHUT_RDWR)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "removed the device") {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeFailsWhenRingIsBroken(t *testing.T) {
	k, d := newKernel(t, 4096)
	done := make(chan error)
	go func() { done <- d.Serve(context.Background(), readWrite(func(uint32) bool { return false })) }()
	k.mb.head.Store(64) // posts entries of length zero
	unix.Write(k.file, []byte{1, 0, 0, 0})
	if err := <-done; err == nil || !strings.Contains(err.Error(), "length of 0") {
		t.Errorf("Serve: %v", err)
	}
}

// BenchmarkServe measures a command from post to completion, including the fake
// kernel's work, in batches of depth.
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
			stop := serve(b, d, handlerFunc(func(cdb []byte, data [][]byte, _ bool) (Result, error) {
				if cdb[0] == 0x28 {
					return Result{DataIn: int32(copy(data[0], medium))}, nil
				}
				copy(medium, data[0])
				return Result{}, nil
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
				k.post(true)
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

// A Serve goes on where the one before has stopped.
func TestServeGoesOn(t *testing.T) {
	k, d := newKernel(t, 4096)
	for n := range 3 {
		stop := serve(t, d, readWrite(func(uint32) bool { return n == 1 }))
		for range 5 {
			id := uint16(len(k.done) + 1)
			k.command(id, []byte{0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0}, [2]uint64{0, 512})
			k.post(true)
			k.wait(t, int(id))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// An initiator that sends commands as fast as they are completed does not keep Serve
// from its end: it takes no more, and another Serve goes on.
func TestServeEndsUnderLoad(t *testing.T) {
	for _, slow := range []bool{false, true} {
		k, d := newKernel(t, 65536)
		id := uint16(0)
		post := func() {
			id++
			k.command(id, []byte{0, 5: 0})
			k.post(false)
		}
		ctx, cancel := context.WithCancel(t.Context())
		executed := 0
		h := handlerFunc(func(_ []byte, _ [][]byte, wait bool) (Result, error) {
			if wait {
				return Result{}, nil
			}
			post() // the ring is never empty; only this goroutine takes
			if executed++; executed == 100 {
				cancel()
			} else if executed == 200 {
				panic("it takes on and on")
			}
			if slow {
				return Result{}, ErrWouldBlock
			}
			return Result{}, nil
		})
		post()
		if err := d.Serve(ctx, h); err != nil {
			t.Fatal(err)
		}
		k.consume()
		if left := len(k.out); left != int(id)-executed {
			t.Errorf("%d commands are left of %d, of which %d were executed", left, id, executed)
		}
		serve(t, d, readWrite(func(uint32) bool { return false }))
		k.wait(t, int(id))
	}
}

// A command that hangs does not keep another Serve from going on with those that do
// not. Both complete theirs.
func TestServeGoesOnBesideOneThatWaits(t *testing.T) {
	k, d := newKernel(t, 65536)
	release := make(chan struct{})
	hangs := handlerFunc(func(cdb []byte, _ [][]byte, wait bool) (Result, error) {
		if cdb[0] == 0x35 {
			if !wait {
				return Result{}, ErrWouldBlock
			}
			<-release
		}
		return Result{}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- d.Serve(ctx, hangs) }()
	k.command(1, []byte{0x35, 9: 0})
	k.command(2, []byte{0, 5: 0})
	k.post(true)
	k.wait(t, 1) // the second, so the first is taken
	cancel()
	stop := serve(t, d, hangs)
	for id := uint16(3); id < 10; id++ {
		k.command(id, []byte{0, 5: 0})
		k.post(true)
		k.wait(t, int(id)-1)
	}
	select {
	case err := <-first:
		t.Fatalf("Serve returns before its command is completed: %v", err)
	default:
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	k.wait(t, 9)
	if err := stop(); err != nil {
		t.Error(err)
	}
}
