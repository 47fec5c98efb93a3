package configfs

import (
	"slices"
	"sync"
	"time"
)

// Busy is what the kernel has been doing for longest of what it was asked for
// here, such as "unlink /sys/kernel/config/target/…", and since when. It is
// empty if there is nothing. Safe for concurrent use.
func Busy() (what string, since time.Time) { return host.busy.longest() }

// A busy is what has been asked for and is not done.
type busy struct {
	mu   sync.Mutex
	jobs []*job // oldest first
}

type job struct {
	what  string
	since time.Time
}

// begin notes that something is asked for, until it is told that it is done.
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
