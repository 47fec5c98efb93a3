package configfs

import (
	"errors"
	"slices"
	"testing"
)

func TestUndoRunsEachStepOnceToTheEnd(t *testing.T) {
	var u Undo
	var ran []int
	fails := errors.New("fails")
	for i := range 4 {
		u.Push(func() error {
			ran = append(ran, i)
			switch i {
			case 2:
				panic("in a step")
			case 1:
				return fails
			}
			return nil
		})
	}
	func() {
		defer func() { recover() }()
		u.Close()
	}()
	if err := u.Close(); !errors.Is(err, fails) {
		t.Errorf("Close() = %v", err)
	}
	if err := u.Close(); err != nil || !slices.Equal(ran, []int{3, 2, 1, 0}) {
		t.Errorf("ran %v, %v", ran, err)
	}
}
