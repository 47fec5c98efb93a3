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

// patience is how long requests are repeated while the server does not answer.
// It is longer than stallTime, and shorter than the 5 minutes after which the
// kernel fails a command. Initiators wait: they abort a command after 30 s, and
// the abort waits for it.
const patience = 2 * time.Minute

// An outage is the time for which a server does not answer. When it has lasted
// for as long as patience, requests are sent once: all commands that wait fail,
// and later ones do not wait.
type outage struct {
	mu    sync.Mutex
	since time.Time // zero if there is none
}

// goesOn records that a request has failed, and reports whether it is worth
// another.
func (o *outage) goesOn(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = now
	}
	return now.Sub(o.since) < patience
}

// end records that the server has sent something.
func (o *outage) end() {
	o.mu.Lock()
	o.since = time.Time{}
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
