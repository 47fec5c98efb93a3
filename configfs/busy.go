package configfs

import (
	"slices"
	"sync"
	"time"
)

// Busy returns the oldest unfinished operation that this package asked of the
// kernel, such as "unlink /sys/kernel/config/target/…", and when it began. It
// returns "" if there is none. Safe for concurrent use.
func Busy() (what string, since time.Time) { return host.busy.longest() }

// A busy is the list of unfinished operations.
type busy struct {
	mu   sync.Mutex
	jobs []*job // oldest first
}

type job struct {
	what  string
	since time.Time
}

// begin adds an operation, until done is called.
func (b *busy) begin(what string) (done func()) {
	j := &job{what, time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = append(b.jobs, j)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.jobs = slices.DeleteFunc(b.jobs, func(other *job) bool { return other == j })
	}
}

func (b *busy) longest() (what string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.jobs) == 0 {
		return "", time.Time{}
	}
	return b.jobs[0].what, b.jobs[0].since
}
