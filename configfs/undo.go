package configfs

import (
	"errors"
	"io/fs"
)

// An Undo collects what must be undone, oldest first. Its zero value is empty.
// It is not safe for concurrent use.
type Undo struct{ steps []func() error }

// Push adds a step.
func (u *Undo) Push(step func() error) { u.steps = append(u.steps, step) }

// Close runs the steps, newest first, to the end, and joins their errors. Each
// runs once: a second Close does nothing, and one after a panic continues with
// the next step.
func (u *Undo) Close() error {
	var errs []error
	for n := len(u.steps) - 1; n >= 0; n = len(u.steps) - 1 {
		step := u.steps[n]
		u.steps = u.steps[:n]
		errs = append(errs, step())
	}
	return errors.Join(errs...)
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
