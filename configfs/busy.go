package configfs

import (
	"slices"
	"sync"
	"time"
)

// Busy returns the operations that were asked of the kernel and have not finished
// for at least this time, oldest first, such as "unlink /sys/kernel/config/target/…".
// Safe for concurrent use.
func Busy(atLeast time.Duration) []string { return host.busy.unfinished(atLeast) }

// Begin adds an operation of another package, until done is called.
func Begin(what string) (done func()) { return host.busy.begin(what) }

// A busy is the list of unfinished operations.
type busy struct {
	mu   sync.Mutex
	jobs []*job // oldest first
}

type job struct {
	what  string
	began time.Time
}

// begin adds an operation, until done is called.
func (b *busy) begin(what string) (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := &job{what, time.Now()}
	b.jobs = append(b.jobs, j)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.jobs = slices.DeleteFunc(b.jobs, func(other *job) bool { return other == j })
	}
}

func (b *busy) unfinished(atLeast time.Duration) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range b.jobs {
		if time.Since(j.began) >= atLeast {
			all = append(all, j.what)
		}
	}
	return all
}
