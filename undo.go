package main

import (
	"errors"
	"slices"
)

// An undo is what is to be undone, oldest first.
type undo []func() error

func (u *undo) push(f func() error) { *u = append(*u, f) }

// run undoes everything, newest first, to the end, and joins the errors. After
// that there is nothing to undo.
func (u *undo) run() error {
	var errs []error
	for _, f := range slices.Backward(*u) {
		errs = append(errs, f())
	}
	*u = nil
	return errors.Join(errs...)
}
