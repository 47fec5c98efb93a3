package serve

import (
	"errors"
	"slices"
)

// An undo is a stack of steps that take down what was brought up.
type undo []func() error

// push adds a step, right after what it undoes was made.
func (u *undo) push(step func() error) { *u = append(*u, step) }

// run runs all steps, newest first, even after one has failed, and joins their
// errors. A second run does nothing.
func (u *undo) run() error {
	var errs []error
	for _, step := range slices.Backward(*u) {
		errs = append(errs, step())
	}
	*u = nil
	return errors.Join(errs...)
}
