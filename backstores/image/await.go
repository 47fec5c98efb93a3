package image

import (
	"context"
	"fmt"
	"time"
)

// answerTime is how long storage may take to answer once the context is done.
const answerTime = time.Second

// await runs a job and returns its result. The job ends with an error soon after
// ctx is done, unless it is in a system call that does not return, which nothing
// can interrupt. Then await returns an error that says so, and whatever the job
// returns in the end is passed to release, so that no lock is left.
func await[T any](ctx context.Context, path string, job func() (T, error), release func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := job()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, named(ctx, path, r.err)
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.value, named(ctx, path, r.err)
	case <-time.After(answerTime):
	}
	go func() {
		if r := <-done; r.err == nil {
			release(r.value)
		}
	}()
	var none T
	return none, fmt.Errorf("%w; its storage does not answer", &interruptedError{path, ctx.Err()})
}

// An interruptedError is the error of a job whose context is done. It wraps the
// error of the context.
type interruptedError struct {
	what  string // path, and what was being done
	cause error
}

func (e *interruptedError) Error() string { return e.what + ": interrupted" }
func (e *interruptedError) Unwrap() error { return e.cause }

// named returns err, or an error that begins with what if err is that of ctx.
func named(ctx context.Context, what string, err error) error {
	if err != nil && err == ctx.Err() {
		return &interruptedError{what, err}
	}
	return err
}
