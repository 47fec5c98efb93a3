package e2e

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"testing"
)

// A record is text that grows, such as a process's stderr. It is safe for
// concurrent use.
type record struct {
	mu     sync.Mutex
	text   []byte
	closed bool
	grown  *sync.Cond
}

func newRecord() *record {
	r := new(record)
	r.grown = sync.NewCond(&r.mu)
	return r
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, p...)
	r.grown.Broadcast()
	return len(p), nil
}

func (r *record) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.grown.Broadcast()
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

// await waits until the text matches the pattern, and returns the match with its
// submatches. It fails t if the text ends without one.
func (r *record) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeLimit, fmt.Errorf("not in %v", timeLimit))
	defer cancel()
	defer context.AfterFunc(ctx, r.grown.Broadcast)()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if m := re.FindStringSubmatch(string(r.text)); m != nil {
			return m
		}
		if r.closed || ctx.Err() != nil {
			t.Fatalf("stderr has no %q (%v):\n%s", pattern, context.Cause(ctx), r.text)
		}
		r.grown.Wait()
	}
}
