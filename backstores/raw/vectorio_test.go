package raw

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// A fakeFile answers reads like the kernel. Each call takes one step; when none
// is left it reads everything.
type fakeFile struct {
	t     *testing.T
	data  []byte
	steps []step
	calls []int // the flags of each call; -1 is a plain read
}

type step struct {
	most int // bytes read at most, if there is no error
	err  error
	wait time.Duration
}

func (f *fakeFile) vectorIO() *vectorIO {
	m := &vectorIO{
		one: func(_ int, p []byte, off int64) (int, error) {
			return f.call([][]byte{p}, off, -1)
		},
		many: func(_ int, bufs [][]byte, off int64, flags int) (int, error) {
			if len(bufs) > maxVector {
				f.t.Errorf("%d buffers in one call", len(bufs))
			}
			return f.call(bufs, off, flags)
		},
	}
	m.now = func(fd int, bufs [][]byte, off int64, flags int) (int, error) {
		if len(bufs) == 1 && flags == 0 {
			return m.one(fd, bufs[0], off)
		}
		return m.many(fd, bufs, off, flags)
	}
	m.pace.expect(time.Microsecond)
	return m
}

func (f *fakeFile) call(bufs [][]byte, off int64, flags int) (int, error) {
	f.calls = append(f.calls, flags)
	s := step{most: len(f.data)}
	if len(f.steps) > 0 {
		s, f.steps = f.steps[0], f.steps[1:]
	}
	for start := time.Now(); time.Since(start) < s.wait; {
	}
	if s.err != nil {
		return 0, s.err
	}
	src := f.data[min(off, int64(len(f.data))):]
	src = src[:min(s.most, len(src))]
	n := 0
	for _, b := range bufs {
		n += copy(b, src[n:])
	}
	return n, nil
}

func testData(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

func vector(lengths ...int) [][]byte {
	var bufs [][]byte
	for _, n := range lengths {
		bufs = append(bufs, make([]byte, n))
	}
	return bufs
}

func TestShortTransfersAreCompleted(t *testing.T) {
	for _, most := range []int{1, 3, 10, 99, 100, 101, 250, 1000} {
		f := &fakeFile{t: t, data: testData(2000)}
		for range 2000 {
			f.steps = append(f.steps, step{most: most}, step{err: unix.EINTR})
		}
		bufs := vector(100, 0, 100, 1, 0, 0, 300, 5, 5, 5, 5, 5, 200, 0)
		want := len(bufs)
		if err := f.vectorIO().move(bufs, 17, backstores.Length(bufs), 0); err != nil {
			t.Fatalf("at most %d bytes a call: %v", most, err)
		}
		if len(bufs) != want || len(bufs[0]) != 100 {
			t.Errorf("at most %d bytes a call: the caller's vector has changed", most)
		}
		if got := bytes.Join(bufs, nil); !bytes.Equal(got, f.data[17:17+len(got)]) {
			t.Errorf("at most %d bytes a call: read something else", most)
		}
	}
}

func TestReadPastTheEndIsAnError(t *testing.T) {
	for _, lengths := range [][]int{{600}, {100, 100, 400}, {500, 100}} {
		f := &fakeFile{t: t, data: testData(500)}
		bufs := vector(lengths...)
		if err := f.vectorIO().move(bufs, 0, 600, 0); err != io.ErrUnexpectedEOF {
			t.Errorf("600 bytes of 500, as %v: %v", lengths, err)
		}
		if _, err := f.vectorIO().at(make([]byte, 600), 0); err != io.ErrUnexpectedEOF {
			t.Errorf("600 bytes of 500: %v", err)
		}
	}
}

func TestNoWaitAsksTheKernel(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
		want  error
	}{
		{"cached", nil, nil},
		{"cold", []step{{err: unix.EAGAIN}}, backstores.ErrWouldBlock},
		{"half cold", []step{{most: 150}}, backstores.ErrWouldBlock},
		{"cold from the second buffer", []step{{most: 100}, {err: unix.EAGAIN}}, backstores.ErrWouldBlock},
		{"broken", []step{{err: unix.EIO}}, unix.EIO},
	} {
		f := &fakeFile{t: t, data: testData(4096), steps: tt.steps}
		m := f.vectorIO()
		if err := m.move(vector(100, 100), 0, 200, backstores.NoWait); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		for _, flags := range f.calls {
			if flags != unix.RWF_NOWAIT {
				t.Errorf("%s: a call with flags %#x", tt.name, flags)
			}
		}
		if m.noNowait.Load() {
			t.Errorf("%s: gave up on RWF_NOWAIT", tt.name)
		}
	}
}

func TestRefusedNowaitIsNotRetried(t *testing.T) {
	for _, err := range []error{unix.EOPNOTSUPP, unix.EINVAL} {
		t.Run(err.Error(), func(t *testing.T) { refusedNowait(t, err) })
	}
}

func refusedNowait(t *testing.T, cannot error) {
	for tries := 10; ; tries-- {
		f := &fakeFile{t: t, data: testData(4096), steps: []step{{err: cannot}}}
		m := f.vectorIO()
		var err error
		for range 3 {
			err = errors.Join(err, m.move(vector(100), 0, 100, backstores.NoWait))
		}
		if errors.Is(err, backstores.ErrWouldBlock) && tries > 0 {
			continue // a call was slow by accident
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(f.calls), 4; got != want || f.calls[0] != unix.RWF_NOWAIT || f.calls[1] != -1 {
			t.Errorf("calls with flags %v; want one with RWF_NOWAIT, then 3 plain ones", f.calls)
		}
		return
	}
}

func TestSlowCallIsFollowedByWorkers(t *testing.T) {
	f := &fakeFile{t: t, data: testData(4096), steps: []step{{err: unix.EOPNOTSUPP}, {wait: 2 * tooSlow, most: 100}}}
	m := f.vectorIO()
	if err := m.move(vector(100), 0, 100, backstores.NoWait); err != nil {
		t.Fatal(err)
	}
	// Calls of workers count, attempts under NoWait do not.
	for range 10 * minPenalty {
		if err := m.move(vector(100), 0, 100, backstores.NoWait); err != backstores.ErrWouldBlock {
			t.Fatalf("after a slow call: %v, want ErrWouldBlock", err)
		}
	}
	for range 100 * minPenalty { // more than needed, in case some are slow by accident
		if err := m.move(vector(100), 0, 100, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.move(vector(100), 0, 100, backstores.NoWait); err != nil {
		t.Errorf("after workers were fast: %v", err)
	}
}

func TestLongVectorsAreLeftToWorkers(t *testing.T) {
	f := &fakeFile{t: t, data: testData(maxNoWait + 1)}
	m := f.vectorIO()
	for n, want := range map[int]error{maxNoWait: nil, maxNoWait + 1: backstores.ErrWouldBlock} {
		if err := m.move(vector(n), 0, int64(n), backstores.NoWait); err != want {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
		if err := m.move(vector(n), 0, int64(n), 0); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// A thread that loses its CPU in the middle of a long copy waits for nothing.
func TestLongCallsThatDoNotSleepAreInline(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would have the thread sleep
	for name, tt := range map[string]struct {
		call func()
		fast bool
	}{
		"copies": {func() {
			for start := time.Now(); time.Since(start) < time.Millisecond; {
			}
		}, true},
		"sleeps": {func() { unix.Nanosleep(&unix.Timespec{Nsec: 10e6}, nil) }, false},
	} {
		var v vectorIO
		v.pace.expect(time.Microsecond)
		v.one = func(_ int, p []byte, _ int64) (int, error) { tt.call(); return len(p), nil }
		bufs := [][]byte{make([]byte, 1<<20)}
		for range 2 {
			if err := v.timed(bufs, 0, 1<<20, false); err != nil {
				t.Fatal(err)
			}
		}
		if v.pace.fast() != tt.fast {
			t.Errorf("a call that %s: fast is %v", name, !tt.fast)
		}
	}
}
