package serve

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
)

// The rule of what may hang: each operation of the kernel may take for ever, as
// behind storage that does not answer, and nothing can interrupt it. What does not
// depend on it goes on, see [configfs.Undo], and it is named after a while.

// warnAfter is how long the kernel may take without a warning.
const warnAfter = 5 * time.Second

// Removing removes disks, and warns of operations that the kernel does not finish.
func Removing(c *console.Console, remove func() error) error {
	return kernelWork{doing: "removing disks", busy: configfs.Busy, warn: c.Warn}.run(nil, remove)
}

// making makes disks, and warns likewise.
func (s *service) making(do func() ending) (end ending) {
	w := kernelWork{doing: "making disks", busy: configfs.Busy, warn: s.console.Warn}
	_ = w.run(nil, func() error {
		end = do()
		return nil
	})
	return end
}

// removing is Removing for the disks that a service has served. If a guard watches
// it, it may be killed.
func (s *service) removing(remove func() error) error {
	w := kernelWork{doing: "removing disks", otherwise: "still closing images", busy: configfs.Busy, warn: s.console.Warn}
	if s.guard != nil && !s.options.Restart {
		w.try = hint.Command{Words: []string{"kill", "-KILL", fmt.Sprint(os.Getpid())}, Purpose: "to remove them by force, and lose what is not flushed"}
	}
	return w.run(s.stopSignals, remove)
}

// left returns an error that names the disks that could not be removed.
func left() error {
	all, _ := configfs.Exports() // an error of configfs has shown already
	var errs []error
	for _, e := range all {
		if e.PID == configfs.Self() {
			errs = append(errs, hint.Try(fmt.Errorf("%s: is left", e.Name), "lunserve", "detach", "--force", e.Name))
		}
	}
	return errors.Join(errs...)
}

// A kernelWork consists of operations of the kernel.
type kernelWork struct {
	doing     string                               // what a warning says is being done
	busy      func(atLeast time.Duration) []string // as configfs.Busy
	warn      func(error)
	otherwise string       // a warning for when the kernel is not busy, or empty
	try       hint.Command // that ends it, or none
}

// run does the work. It warns when that has taken warnAfter, when an operation has
// taken that long, and each time when a signal asks for it again. The time in a
// warning counts from the start of the work, as the first warning itself does.
func (w kernelWork) run(again <-chan os.Signal, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	start, late := time.Now(), time.After(warnAfter)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var named []string
	isNamed := func(what string) bool { return slices.Contains(named, what) }
	for {
		var what []string
		select {
		case err := <-done:
			return err
		case <-again:
			// The signal may have come twice, or before.
			if time.Since(start) < time.Second {
				continue
			}
			what = w.now()
		case <-late:
			what = slices.DeleteFunc(w.now(), isNamed)
		case <-tick.C:
			what = slices.DeleteFunc(w.busy(warnAfter), isNamed)
		}
		for _, what := range what {
			w.warn(w.unfinished(what, time.Since(start)))
		}
		named = append(named, what...)
	}
}

// now returns the oldest operation, "" if there is none, or nothing if that needs
// no warning.
func (w kernelWork) now() []string {
	if what := w.busy(0); len(what) > 0 {
		return what[:1]
	}
	if w.otherwise != "" {
		return []string{""}
	}
	return nil
}

// unfinished returns the warning of an operation.
func (w kernelWork) unfinished(what string, took time.Duration) error {
	if what == "" {
		return errors.New(w.otherwise)
	}
	try := []hint.Command{{Words: []string{"dmesg"}, Pipe: []string{"tail"}}}
	if len(w.try.Words) > 0 {
		try = append(try, w.try)
	}
	return hint.With(fmt.Errorf("still %s after %v; waiting for the kernel to %s", w.doing, took.Round(time.Second), what), try...)
}
