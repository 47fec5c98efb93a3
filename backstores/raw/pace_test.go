package raw

import (
	"testing"
	"time"
)

const (
	copied = 3 * time.Microsecond
	waited = 100 * time.Microsecond // a page from a fast disk
	paused = 20 * time.Millisecond  // by the kernel, for too many dirty pages
)

func newPace() *pace {
	p := new(pace)
	p.expect(time.Microsecond)
	return p
}

// calls makes n calls of 4 KiB that take d each.
func (p *pace) calls(n int, d time.Duration) {
	for range n {
		p.took(d)
	}
}

// untilFast counts the fast calls until a call may be made inline.
func (p *pace) untilFast(t *testing.T) int {
	t.Helper()
	for n := range 2 * maxPenalty {
		if p.fast() {
			return n
		}
		p.took(copied)
	}
	t.Fatalf("not fast again after %d fast calls", 2*maxPenalty)
	return 0
}

// delays makes 100,000 calls, every nth of which takes d, and counts the slow
// calls and those of them that were made inline.
func (p *pace) delays(nth int, d time.Duration) (slow, inline int) {
	for i := range 100_000 {
		if i%nth != nth-1 {
			p.took(copied)
			continue
		}
		slow++
		if p.fast() {
			inline++
		}
		p.took(d)
	}
	return slow, inline
}

func TestFastCallsStayInline(t *testing.T) {
	p := newPace()
	for range 10_000 {
		if !p.fast() {
			t.Fatal("not fast after fast calls only")
		}
		p.took(copied)
	}
}

func TestRareSlowCallsCauseNoPenalty(t *testing.T) {
	p := newPace()
	p.calls(100, copied)
	for range 1000 {
		p.took(3 * time.Millisecond) // another thread had the CPU
		p.calls(50, copied)
		if !p.fast() {
			t.Fatal("one slow call in 50 made it slow")
		}
	}
}

func TestTwoSlowCallsCauseAPenalty(t *testing.T) {
	p := newPace()
	p.calls(1000, copied)
	p.calls(2, waited)
	if p.fast() {
		t.Error("fast after two calls that waited")
	}
	if n := p.untilFast(t); n != minPenalty {
		t.Errorf("fast again after %d fast calls, want %d", n, minPenalty)
	}
}

func TestOneVerySlowCallCausesAPenalty(t *testing.T) {
	p := newPace()
	p.calls(1000, copied)
	p.took(paused)
	if p.fast() {
		t.Error("fast after a call of 20 ms")
	}
}

func TestSlowCallsOfWorkersProlongThePenalty(t *testing.T) {
	p := newPace()
	p.calls(1000, waited)
	if n := p.untilFast(t); n != minPenalty {
		t.Errorf("fast again after %d fast calls, want %d", n, minPenalty)
	}
	for _, d := range []time.Duration{waited, paused} {
		p = newPace()
		p.calls(2, d)
		p.calls(minPenalty-1, copied)
		p.took(d)
		if n := p.untilFast(t); n < slowCost {
			t.Errorf("fast %d fast calls after a worker took %v", n, d)
		}
	}
}

func TestFewSlowCallsAreInline(t *testing.T) {
	for _, tt := range []struct {
		name string
		nth  int
		d    time.Duration
		most int
	}{
		{"all cold", 1, waited, 2},
		{"every other cold", 2, waited, 20},
		{"every eighth cold", 8, waited, 20},
		{"paused every 32", 32, paused, 20},
		{"paused every 500", 500, paused, 20},
	} {
		if slow, inline := newPace().delays(tt.nth, tt.d); inline > tt.most {
			t.Errorf("%s: %d of %d inline, want %d at most", tt.name, inline, slow, tt.most)
		}
	}
}

func TestSlowMachinesMayTakeLonger(t *testing.T) {
	p := new(pace)
	p.expect(200 * time.Microsecond)
	p.calls(100, time.Millisecond)
	if !p.fast() {
		t.Error("a write of 1 ms counts as slow where a cached read takes 200 µs")
	}
}

func TestPenaltyIsForgotten(t *testing.T) {
	p := newPace()
	for range 20 {
		p.untilFast(t)
		p.took(paused)
	}
	if n := p.untilFast(t); n != maxPenalty {
		t.Fatalf("after many slow calls fast again after %d fast calls, want %d", n, maxPenalty)
	}
	p.calls(penaltyResetAfter*maxPenalty, copied)
	p.took(paused)
	if n := p.untilFast(t); n != minPenalty {
		t.Errorf("long after, fast again after %d fast calls, want %d", n, minPenalty)
	}
}
