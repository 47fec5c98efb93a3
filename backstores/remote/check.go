package remote

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

// A Fact is something that a person should know about a server.
type Fact struct {
	Host string
	Is   string
	Warn bool // it is not as it should be
}

// Check measures the server of an open image, and returns what it does well or
// not. It reads 8 MiB at most.
func (f *File) Check(ctx context.Context) (facts []Fact, err error) {
	host := strings.SplitN(f.name, "/", 4)[2]
	say := func(warn bool, format string, a ...any) {
		facts = append(facts, Fact{host, fmt.Sprintf(format, a...), warn})
	}
	say(false, "the server sends ranges, of %s bytes in all", humanize.Comma(f.Size()))
	if v := f.version; v.known() {
		say(false, "a change is noticed by %s", v)
	} else {
		say(true, "a change is noticed by the length alone: the server sends neither a strong ETag nor Last-Modified")
	}
	if u, redirected := f.client.target(); redirected {
		say(false, "redirects to %s, which is asked directly from then on", u.Hostname())
	}
	if at, ok := expiry(f.client.first); ok {
		say(true, "the URL expires at %s, in %s", at.Local().Format(time.DateTime), time.Until(at).Round(time.Second))
	}
	if f.skew.Abs() > time.Minute {
		say(true, "%s", skewed(f.skew))
	}
	trip, err := f.roundTrip(ctx)
	if err != nil {
		return facts, err
	}
	rate, err := f.rate(ctx)
	if err != nil {
		return facts, err
	}
	say(false, "a small request takes %s, and %d at a time bring %s/s", trip.Round(100*time.Microsecond), checkRequests, humanize.IBytes(uint64(rate)))
	return facts, nil
}

// checkRequests is the number of requests whose rate is measured.
const checkRequests = 4

// roundTrip returns the median time of small requests.
func (f *File) roundTrip(ctx context.Context) (time.Duration, error) {
	var all []time.Duration
	for range 5 {
		start := time.Now()
		if _, err := f.discard(ctx, 0, 1); err != nil {
			return 0, err
		}
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// rate returns the bytes per second of several requests at the same time.
func (f *File) rate(ctx context.Context) (float64, error) {
	part := min(f.Size()/checkRequests, maxRequest)
	if part == 0 {
		part = f.Size()
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		bytes int64
		first error
	)
	start := time.Now()
	for i := int64(0); i < checkRequests && (i+1)*part <= f.Size(); i++ {
		wg.Go(func() {
			n, err := f.discard(ctx, i*part, part)
			mu.Lock()
			defer mu.Unlock()
			if bytes += n; first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return float64(bytes) / time.Since(start).Seconds(), first
}

// discard reads n bytes at off from the server.
func (f *File) discard(ctx context.Context, off, n int64) (int64, error) {
	a, err := f.client.get(ctx, off, n, &f.version)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.name, err)
	}
	defer a.body.Close()
	return io.Copy(io.Discard, a.body)
}
