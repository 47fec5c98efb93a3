package raw

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A pace estimates whether calls wait, by how long they took.
//
// Some file systems cannot say in advance whether a read or write would wait:
// they refuse RWF_NOWAIT (tmpfs, overlayfs; ext4 for buffered writes). Nearly
// all their calls only copy to or from the page cache, and handing such a call
// to a worker costs more than the copy. At times, however, calls wait, for cold
// pages or because too much is dirty, a hundred times as long as a copy and
// more. On the thread that takes commands they would delay every command.
//
// So calls are made inline as long as they are as fast as a copy. Each fast
// call earns a token, each slow one costs several. When the tokens run out, or
// one call is very slow, there is a penalty: that many fast calls must be made
// by workers before the next inline call. If that happens again soon, the
// penalty doubles. Slow calls that are rare count as accidents: the thread lost
// its CPU for a while, as a worker might. Only calls change the state, never
// the clock.
//
// The two words are not updated together. A lost count makes the next change
// come a little later or sooner, and does no harm.
type pace struct {
	tokens  atomic.Int64 // fast calls since the last penalty; below 0, still to be made
	penalty atomic.Int64 // the last one

	slack time.Duration // that every call may take
}

const (
	// A call is fast if it takes at most slackCopies times as long as copying
	// 4 KiB from the page cache on this machine, or minSlack if that is more.
	// A fast disk needs 80 µs for a page. A copy takes as long where the clock
	// counts instructions or the machine is emulated.
	slackCopies = 32
	minSlack    = 50 * time.Microsecond

	// A slow call costs slowCost tokens, of which at most tokenCap are kept:
	// two slow calls in quick succession cause a penalty, and so does more than
	// one in slowCost.
	slowCost = 12
	tokenCap = 16

	// A single call this slow causes a penalty. No thread waits so long for a
	// CPU unless the machine is overloaded. A writer that is throttled for
	// dirty pages waits longer.
	tooSlow = 8 * time.Millisecond

	// The penalty in calls, each of which costs a hand-off, about 1 µs more
	// than an inline call. The highest costs half as much as the one slow call
	// that caused it, if that was an accident. A penalty is forgotten after
	// penaltyResetAfter times as many fast calls.
	minPenalty        = 16
	maxPenalty        = 4096
	penaltyResetAfter = 64
)

// expect sets how long a copy of 4 KiB takes. It must come first.
func (p *pace) expect(copy time.Duration) {
	p.slack = max(minSlack, slackCopies*copy)
}

// fast reports whether a call may be made inline.
func (p *pace) fast() bool { return p.tokens.Load() >= 0 }

// took records that a call took d, inline or in a worker. Of a long call that is the
// time only if it slept, else 0: see [vectorIO].
func (p *pace) took(d time.Duration) {
	if d <= p.slack {
		p.tokens.Add(1)
	} else {
		p.slow(d)
	}
}

func (p *pace) slow(d time.Duration) {
	had, penalty := p.tokens.Load(), p.penalty.Load()
	left := min(had, tokenCap) - slowCost
	if d >= tooSlow+p.slack {
		left = -maxPenalty
	}
	if had >= 0 && left < 0 {
		if had >= penaltyResetAfter*penalty {
			penalty = 0
		}
		penalty = min(max(2*penalty, minPenalty), maxPenalty)
		p.penalty.Store(penalty)
		left = -penalty
	}
	p.tokens.Store(max(left, -penalty))
}

// clock returns the time since epoch. time.Since reads one clock, time.Now two.
func clock() time.Duration { return time.Since(epoch) }

var epoch = time.Now()

// copyTime measures how long it takes to read 4 KiB from the page cache. It
// reads the start of an open image, which is cached after the first read.
func copyTime(fd int) time.Duration {
	p := make([]byte, 4096)
	best := time.Hour
	for i := range 4 {
		start := clock()
		if _, err := unix.Pread(fd, p, 0); err != nil {
			return 0 // the next read returns the error
		}
		if i > 0 {
			best = min(best, clock()-start)
		}
	}
	return best
}
