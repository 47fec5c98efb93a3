package configfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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

// A step that hangs delays those for the same thing and those for everything, and
// no others. If none hangs, they run one after another.
func TestUndoGoesOnWithWhatDoesNotDependOnAHungStep(t *testing.T) {
	for _, hangs := range []string{"", "a", "b"} {
		synctest.Test(t, func(t *testing.T) {
			var (
				mu  sync.Mutex
				ran []string
				u   Undo
			)
			push := func(to *Undo, name string) {
				to.Push(func() error {
					if hangs != "" && strings.HasPrefix(name, hangs) && strings.HasSuffix(name, "lun") {
						time.Sleep(time.Hour)
					}
					mu.Lock()
					defer mu.Unlock()
					ran = append(ran, name)
					return errors.New(name)
				})
			}
			push(u.For(""), "targets")
			for _, part := range []string{"image", "lun"} {
				for _, disk := range []string{"a", "b"} {
					sub := u.For(disk)
					push(sub, disk+" first "+part)
					push(sub, disk+" "+part)
				}
			}
			push(&u, "socket")
			err := u.Close()
			want := map[string]string{
				"":  "socket, b lun, b first lun, a lun, a first lun, b image, b first image, a image, a first image, targets",
				"a": "socket, b lun, b first lun, b image, b first image, a lun, a first lun, a image, a first image, targets",
				"b": "socket, a lun, a first lun, a image, a first image, b lun, b first lun, b image, b first image, targets",
			}[hangs]
			if got := strings.Join(ran, ", "); got != want {
				t.Errorf("%q hangs:\n got %s\nwant %s", hangs, got, want)
			}
			for _, name := range ran {
				if !strings.Contains(fmt.Sprint(err), name) {
					t.Errorf("the error lacks that of %s", name)
				}
			}
		})
	}
}

// A panic of a step is one of Close, and what is left of a thing is undone later.
func TestUndoOfOneThingContinuesAfterAPanic(t *testing.T) {
	var u Undo
	var ran []int
	for _, what := range []string{"", "a"} {
		sub := u.For(what)
		for i := range 2 {
			sub.Push(func() error {
				if ran = append(ran, i); i == 1 {
					panic("in a step")
				}
				return nil
			})
		}
	}
	for range 3 {
		func() {
			defer func() { recover() }()
			u.Close()
		}()
	}
	if !slices.Equal(ran, []int{1, 0, 1, 0}) {
		t.Errorf("ran %v", ran)
	}
}
