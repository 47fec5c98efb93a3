package configfs

import (
	"errors"
	"io/fs"
	"slices"
)

// An undo is what has to be undone, oldest first.
type undo []func() error

func (u *undo) push(step func() error) { *u = append(*u, step) }

// Close undoes everything, newest first. A step that fails does not stop those
// after it: what can go goes, and Close tells what could not. What is gone
// already is no error. A second Close does nothing.
func (u *undo) Close() error {
	var errs []error
	for _, step := range slices.Backward(*u) {
		if err := step(); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	*u = nil
	return errors.Join(errs...)
}
