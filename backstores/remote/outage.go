package remote

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The kernel fails a command after 5 minutes. Initiators wait for that long: they
// abort a command after 30 s, and the abort waits for it.
const (
	// patience is how long requests for a range are repeated although nothing of
	// it comes. It is longer than stallTime.
	patience = 2 * time.Minute
	// readTime limits a read whose bytes come, but slowly.
	readTime = 3 * time.Minute
)

// errSlow is the error of a read that takes longer than readTime.
var errSlow = errors.New("the server is too slow")

// An outage is the time for which all requests to a server fail. When it has lasted
// for as long as patience, one request at a time finds out whether the server is
// back. The others wait a moment for it, and fail with it: commands are not to wait
// for each other.
type outage struct {
	patience, readTime time.Duration

	mu    sync.Mutex
	last  time.Time     // when a block came
	since time.Time     // zero if there is none
	err   error         // of the last request
	probe chan struct{} // of the request that probes; closed when that has ended
	slow  time.Time     // when a read last took too long
}

// probeTime is how long the other requests wait for the one that probes.
const probeTime = time.Second

// enter begins a request, which may be the one that probes. Its error is that of
// earlier ones if this one is not to be sent.
func (o *outage) enter(ctx context.Context) (probes bool, err error) {
	o.mu.Lock()
	err = o.isLong()
	probe := o.probe
	if probes = err != nil && probe == nil; probes {
		o.probe = make(chan struct{})
	}
	o.mu.Unlock()
	if probes || err == nil {
		return probes, nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	select {
	case <-probe:
	case <-ctx.Done():
	}
	return false, o.long()
}

// leave ends a request that began at start. It has filled blocks or not.
func (o *outage) leave(probes bool, start time.Time, filled bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if probes {
		close(o.probe)
		o.probe = nil
	}
	switch {
	case filled:
		o.last, o.since = time.Now(), time.Time{}
	case err == nil || !repeat(err): // the server has answered
		o.since = time.Time{}
	default:
		o.err = err
		if o.since.IsZero() {
			if o.since = start; o.last.After(start) {
				o.since = o.last
			}
		}
	}
}

// long returns the error of the last request if requests are not worth repeating.
func (o *outage) long() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.isLong()
}

func (o *outage) isLong() error {
	if o.since.IsZero() || time.Since(o.since) < o.patience {
		return nil
	}
	return o.err
}

// idle reports whether no block has come since a time.
func (o *outage) idle(since time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last.Before(since)
}

// Hurry says that the image is about to be closed. From then on reads do not wait for
// a server that sends nothing for 5 seconds: they all fail. It returns at once.
func (f *File) Hurry() {
	f.wg.Go(func() {
		for since := time.Now(); ; {
			if pause(f.ctx, hurryTime/10) != nil {
				return
			}
			f.cache.mu.Lock()
			waits := f.demands > 0
			f.cache.mu.Unlock()
			switch now := time.Now(); {
			case !waits || !f.outage.idle(since):
				since = now
			case now.Sub(since) >= hurryTime:
				f.cancel()
				return
			}
		}
	})
}

const hurryTime = 5 * time.Second

// readUntil returns when a read that begins now fails. Those that were queued behind
// one that took too long get less time.
func (o *outage) readUntil(now time.Time) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Sub(o.slow) < o.patience {
		return now.Add(o.readTime / 16)
	}
	return now.Add(o.readTime)
}

// tooSlow records that a read has failed by errSlow.
func (o *outage) tooSlow(now time.Time) {
	o.mu.Lock()
	o.slow = now
	o.mu.Unlock()
}

// delay returns how long to wait before a request is repeated: twice as long each
// time, up to 5 seconds, and at random, so that those who failed together do not
// come back together. A server may ask for more time.
func delay(try int, err error) time.Duration {
	d := min(100*time.Millisecond<<min(try, 6), 5*time.Second)
	d = d/2 + rand.N(d/2)
	if s, ok := errors.AsType[*statusError](err); ok {
		if after, bad := strconv.ParseUint(s.after, 10, 16); bad == nil {
			d = max(d, min(time.Duration(after)*time.Second, stallTime))
		}
	}
	return d
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func parseDate(text string) (time.Time, error) { return http.ParseTime(text) }
