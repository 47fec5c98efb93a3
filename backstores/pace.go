package backstores

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A pace tells whether calls that may wait do wait, by how long they took.
//
// Some file systems cannot say beforehand whether a read or write would wait:
// they refuse RWF_NOWAIT (tmpfs, overlayfs; ext4 for buffered writes). Nearly
// all their calls copy to or from the page cache, and handing such a call to a
// worker costs more than the copy. But there are times when they wait, for
// cold pages or because too much is dirty, for a hundred copies' length and
// more; made where commands are taken, they delay everyone's.
//
// So calls are made on the spot as long as they come back as fast as a copy
// does. When too many are slow, or one is very slow, there is a fine: so many
// fast calls must have been made by workers before the next is made on the
// spot. If that comes again soon, the fine doubles. Slow calls far between are
// taken as accidents: the thread lost its CPU for a while, and so would a
// worker have. Only calls move this, not the clock.
//
// The words are not changed together. Losing a count between them makes nothing
// wrong, only a little later or sooner.
type pace struct {
	credit atomic.Int64 // fast calls made since the fine was paid; below 0, still to be made
	fine   atomic.Int64 // the last one

	slack   time.Duration // what any call may take
	perPage time.Duration // what it may take besides for each 4 KiB
}

const (
	// A call is fast if it takes no more than patience times a copy of 4 KiB
	// from the page cache as measured on this machine, or leastSlack where
	// that is more. A fast disk needs 80 µs for a page. Where a clock counts
	// instructions or a machine is emulated, a copy alone takes as long.
	patience   = 32
	leastSlack = 50 * time.Microsecond

	// A slow call undoes price fast ones, of which hoard count at most: two in
	// quick succession make a fine, and so does more than one in price.
	price = 12
	hoard = 16

	// A call this slow makes a fine by itself. Nobody waits so long for a CPU
	// on a machine that is not hopelessly busy; a writer held back because too
	// much is dirty waits longer.
	tooSlow = 8 * time.Millisecond

	// The fine in calls, each of which costs a hand-off: about 1 µs more than
	// on the spot. So the highest costs half of what one call that was tooSlow
	// did, should that have been an accident after all. Past forgiven times as
	// many fast calls a fine is forgotten.
	leastFine = 16
	mostFine  = 4096
	forgiven  = 64
)

// expect sets what a copy of 4 KiB takes. It comes before all else.
func (p *pace) expect(copy time.Duration) {
	p.slack = max(leastSlack, patience*copy)
	p.perPage = 4 * copy
}

// fast tells whether a call may be made on the spot.
func (p *pace) fast() bool { return p.credit.Load() >= 0 }

// took notes that a call that moved n bytes took d, whoever made it.
func (p *pace) took(d time.Duration, n int64) {
	if d <= p.slack+time.Duration(n>>12)*p.perPage {
		p.credit.Add(1)
	} else {
		p.slow(d)
	}
}

func (p *pace) slow(d time.Duration) {
	had, fine := p.credit.Load(), p.fine.Load()
	left := min(had, hoard) - price
	if d >= tooSlow+p.slack {
		left = -mostFine
	}
	if had >= 0 && left < 0 {
		if had >= forgiven*fine {
			fine = 0
		}
		fine = min(max(2*fine, leastFine), mostFine)
		p.fine.Store(fine)
		left = -fine
	}
	p.credit.Store(max(left, -fine))
}

// clock counts from epoch: time.Since asks one clock, time.Now asks two.
func clock() time.Duration { return time.Since(epoch) }

var epoch = time.Now()

// copyTime measures what a read of 4 KiB from the page cache takes, by reading
// the start of an open image, which is there after the first time.
func copyTime(fd int) time.Duration {
	p := make([]byte, 4096)
	best := time.Hour
	for i := range 4 {
		start := clock()
		if _, err := unix.Pread(fd, p, 0); err != nil {
			return 0 // whoever reads there will be told
		}
		if i > 0 {
			best = min(best, clock()-start)
		}
	}
	return best
}
