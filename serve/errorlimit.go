package serve

import (
	"fmt"
	"sync"
	"time"
)

const (
	// maxErrors errors of an image are printed in each errorPeriod. A disk that
	// is full, or whose storage fails, may return thousands a second.
	maxErrors   = 3
	errorPeriod = 10 * time.Second
)

// An errorLimit passes on the errors of one image, or of the initiators of a target in
// this process: some of them, and the number of the others. Its methods are safe for concurrent use.
type errorLimit struct {
	image string
	to    chan<- error

	mu      sync.Mutex
	since   time.Time // when the period began
	printed int       // in this period
	more    int
}

// report takes an error from a goroutine that executes commands, and never blocks
// it: standard error may be a stopped terminal.
func (l *errorLimit) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.more == 0 && now.Sub(l.since) >= errorPeriod {
		l.since, l.printed = now, 0
	}
	if l.printed < maxErrors {
		select {
		case l.to <- err:
			l.printed++
			return
		default:
		}
	}
	l.more++
}

// rest returns an error that counts those that were not passed on, once the
// period is over. It is nil before, and if there are none.
func (l *errorLimit) rest(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) < errorPeriod {
		return nil
	}
	return l.count(now)
}

// end returns such an error at the end, whether the period is over or not.
func (l *errorLimit) end(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count(now)
}

func (l *errorLimit) count(now time.Time) (err error) {
	if l.more > 0 {
		err = fmt.Errorf("%s: errors not printed: %d in the last %v", l.image, l.more, now.Sub(l.since).Round(time.Second))
		l.since, l.printed, l.more = now, 0, 0
	}
	return err
}

// errorLimits returns those of the images and of the target in this process.
func (s *service) errorLimits() (all []*errorLimit) {
	for _, d := range s.disks {
		all = append(all, &d.errors)
	}
	for _, f := range s.fabrics {
		if u, ok := f.(*userspace); ok {
			all = append(all, &u.refused)
		}
	}
	return all
}
