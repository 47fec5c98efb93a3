package backstores

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A fakeFile answers reads as the kernel may. Each call takes one step; when
// none is left it answers in full.
type fakeFile struct {
	t     *testing.T
	data  []byte
	steps []step
	calls []int // the flags of each call; -1 is a plain read
}

type step struct {
	most int // bytes moved at most, if there is no error
	err  error
	wait time.Duration
}

func (f *fakeFile) mover() *mover {
	m := &mover{
		one: func(_ int, p []byte, off int64) (int, error) {
			return f.call([][]byte{p}, off, -1)
		},
		many: func(_ int, bufs [][]byte, off int64, flags int) (int, error) {
			if len(bufs) > manyAtOnce {
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
	// The test of what a slow call does has nothing else to make one with.
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

func TestMoverEndsWhatTheKernelCutShort(t *testing.T) {
	for _, most := range []int{1, 3, 10, 99, 100, 101, 250, 1000} {
		f := &fakeFile{t: t, data: testData(2000)}
		for range 2000 {
			f.steps = append(f.steps, step{most: most}, step{err: unix.EINTR})
		}
		bufs := vector(100, 0, 100, 1, 0, 0, 300, 5, 5, 5, 5, 5, 200, 0)
		want := len(bufs)
		if err := f.mover().move(bufs, 17, length(bufs), 0); err != nil {
			t.Fatalf("at most %d bytes a call: %v", most, err)
		}
		if len(bufs) != want || len(bufs[0]) != 100 {
			t.Errorf("at most %d bytes a call: the caller's vector changed", most)
		}
		if got := bytes.Join(bufs, nil); !bytes.Equal(got, f.data[17:17+len(got)]) {
			t.Errorf("at most %d bytes a call: read something else", most)
		}
	}
}

func TestMoverNeverMakesUpWhatIsNotThere(t *testing.T) {
	for _, lengths := range [][]int{{600}, {100, 100, 400}, {500, 100}} {
		f := &fakeFile{t: t, data: testData(500)}
		bufs := vector(lengths...)
		if err := f.mover().move(bufs, 0, 600, 0); err != io.ErrUnexpectedEOF {
			t.Errorf("600 bytes of 500, as %v: %v", lengths, err)
		}
		if _, err := f.mover().at(make([]byte, 600), 0); err != io.ErrUnexpectedEOF {
			t.Errorf("600 bytes of 500: %v", err)
		}
	}
}

func TestMoverAsksTheKernelWhetherItWouldBlock(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
		want  error
	}{
		{"cached", nil, nil},
		{"cold", []step{{err: unix.EAGAIN}}, ErrWouldBlock},
		{"half cold", []step{{most: 150}}, ErrWouldBlock},
		{"cold from the second buffer", []step{{most: 100}, {err: unix.EAGAIN}}, ErrWouldBlock},
		{"broken", []step{{err: unix.EIO}}, unix.EIO},
	} {
		f := &fakeFile{t: t, data: testData(4096), steps: tt.steps}
		m := f.mover()
		if err := m.move(vector(100, 100), 0, 200, NoWait); err != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		for _, flags := range f.calls {
			if flags != unix.RWF_NOWAIT {
				t.Errorf("%s: a call with flags %#x", tt.name, flags)
			}
		}
		if m.blind.Load() {
			t.Errorf("%s: blind", tt.name)
		}
	}
}

func TestMoverLearnsOnceThatTheKernelCannotTell(t *testing.T) {
	for _, err := range []error{unix.EOPNOTSUPP, unix.EINVAL} {
		t.Run(err.Error(), func(t *testing.T) { learnsOnce(t, err) })
	}
}

func learnsOnce(t *testing.T, cannot error) {
	for tries := 10; ; tries-- {
		f := &fakeFile{t: t, data: testData(4096), steps: []step{{err: cannot}}}
		m := f.mover()
		var err error
		for range 3 {
			err = errors.Join(err, m.move(vector(100), 0, 100, NoWait))
		}
		if errors.Is(err, ErrWouldBlock) && tries > 0 {
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

func TestMoverHandsOverAfterASlowCall(t *testing.T) {
	f := &fakeFile{t: t, data: testData(4096), steps: []step{{err: unix.EOPNOTSUPP}, {wait: 2 * tooSlow, most: 100}}}
	m := f.mover()
	if err := m.move(vector(100), 0, 100, NoWait); err != nil {
		t.Fatal(err)
	}
	// A worker's calls count, those that only asked do not.
	for range 10 * leastFine {
		if err := m.move(vector(100), 0, 100, NoWait); err != ErrWouldBlock {
			t.Fatalf("after a slow call: %v, want ErrWouldBlock", err)
		}
	}
	for range 100 * leastFine { // more than are due, should some be slow by accident
		if err := m.move(vector(100), 0, 100, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.move(vector(100), 0, 100, NoWait); err != nil {
		t.Errorf("after workers were fast: %v", err)
	}
}

func TestMoverLeavesLongVectorsToWorkers(t *testing.T) {
	f := &fakeFile{t: t, data: testData(longest + 1)}
	m := f.mover()
	for n, want := range map[int]error{longest: nil, longest + 1: ErrWouldBlock} {
		if err := m.move(vector(n), 0, int64(n), NoWait); err != want {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
		if err := m.move(vector(n), 0, int64(n), 0); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestSyncsFailForGood(t *testing.T) {
	var s syncs
	s.begin()
	if err := s.end(nil); err != nil {
		t.Fatal(err)
	}
	s.begin()
	if err := s.end(unix.EIO); err != unix.EIO {
		t.Errorf("a sync that failed: %v", err)
	}
	s.begin()
	err := s.end(nil)
	if !errors.Is(err, unix.EIO) {
		t.Errorf("a sync after one that failed: %v, want its EIO", err)
	}
}

// The kernel tells one of two syncs that run together of a lost page. The
// other, which was told nothing, must not succeed before that is known.
func TestSyncsSideBySideFailTogether(t *testing.T) {
	var s syncs
	s.begin()
	s.begin()
	lucky := make(chan error)
	go func() { lucky <- s.end(nil) }()
	select {
	case err := <-lucky:
		t.Fatalf("a sync ended (%v) while one it ran beside was still running", err)
	case <-time.After(20 * time.Millisecond):
	}
	s.end(unix.EIO)
	if err := <-lucky; !errors.Is(err, unix.EIO) {
		t.Errorf("the lucky one: %v, want EIO", err)
	}
}
