package configfs

import (
	"errors"
	"io/fs"
	"slices"
	"time"
)

// An Undo collects what must be undone, oldest first. Its zero value is empty.
// It is not safe for concurrent use.
//
// A step may hang in the kernel, and nothing can interrupt it. What does not
// depend on it goes on then. A step for one thing, see [Undo.For], depends on the
// newer steps for the same thing; any other step depends on all newer ones.
type Undo struct {
	steps   []step
	running map[string]bool   // the things whose steps run
	ended   chan func() error // results of those steps
}

type step struct {
	of  string // what it is for; empty: for everything
	run func() error
	sub *Undo // that run closes, or nil
}

// patience is how long Close waits for a step before others go on. It is short since
// most steps wait for the kernel: for RCU, or for a flush. Only tests change it, whose
// kernel performs one operation at a time.
var patience = 10 * time.Millisecond

// Push adds a step.
func (u *Undo) Push(run func() error) { u.steps = append(u.steps, step{run: run}) }

// For returns an Undo for one thing, such as a disk. It is a step of u, whose place
// in the order is that of this call. If what is empty, it is for everything.
func (u *Undo) For(what string) *Undo {
	sub := new(Undo)
	u.add(what, sub)
	return sub
}

// add makes closing sub a step for one thing.
func (u *Undo) add(what string, sub *Undo) { u.steps = append(u.steps, step{what, sub.Close, sub}) }

// Close runs the steps, newest first, to the end, and joins their errors. Each
// runs once: a second Close does nothing, and one after a panic continues with
// the next step.
func (u *Undo) Close() error {
	if u.running == nil {
		u.running, u.ended = make(map[string]bool), make(chan func() error, len(u.steps))
	}
	var errs []error
	for len(u.steps) > 0 || len(u.running) > 0 {
		n := u.next()
		var late <-chan time.Time
		if n >= 0 {
			s := u.steps[n]
			u.steps = slices.Delete(u.steps, n, n+1)
			if s.of == "" {
				errs = append(errs, u.finish(s, s.run))
				continue
			}
			u.running[s.of] = true
			go func() {
				result := recovered(s.run)
				u.ended <- func() error {
					delete(u.running, s.of)
					return u.finish(s, result)
				}
			}()
			late = time.After(patience)
		}
		select {
		case result := <-u.ended:
			errs = append(errs, result())
		case <-late:
		}
	}
	u.running = nil
	return errors.Join(errs...)
}

// next returns the newest step that depends on nothing unfinished, or -1.
func (u *Undo) next() int {
	for n, s := range slices.Backward(u.steps) {
		if s.of == "" && len(u.running) > 0 {
			break
		}
		if !u.running[s.of] {
			return n
		}
	}
	return -1
}

// finish runs a step, or returns its result. If it panics, what is left of it
// stays a step.
func (u *Undo) finish(s step, run func() error) error {
	defer func() {
		if s.sub != nil && len(s.sub.steps) > 0 {
			u.steps = append(u.steps, s)
		}
	}()
	return run()
}

// recovered runs a step, and returns a function that returns its error or panics
// as it did.
func recovered(run func() error) (result func() error) {
	defer func() {
		if r := recover(); r != nil {
			result = func() error { panic(r) }
		}
	}()
	err := run()
	return func() error { return err }
}

// removal returns step without the error that there is nothing left to remove.
func removal(step func() error) func() error {
	return func() error {
		if err := step(); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
}
