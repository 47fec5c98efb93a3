package configfs

import (
	"slices"
	"sync"
)

// Busy returns the oldest unfinished operation that this package asked of the
// kernel, such as "unlink /sys/kernel/config/target/…", or "" if there is none.
// Safe for concurrent use.
func Busy() string { return host.busy.oldest() }

// A busy is the list of unfinished operations.
type busy struct {
	mu   sync.Mutex
	jobs []*string // oldest first
}

// begin adds an operation, until done is called.
func (b *busy) begin(what string) (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = append(b.jobs, &what)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.jobs = slices.DeleteFunc(b.jobs, func(other *string) bool { return other == &what })
	}
}

func (b *busy) oldest() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.jobs) == 0 {
		return ""
	}
	return *b.jobs[0]
}
