package serve

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
)

// warnAfter is how long the removal of disks may take without a warning.
const warnAfter = 5 * time.Second

// Remove removes a disk whose process was killed. If that takes long, it prints
// a warning that names what the kernel has not finished.
func Remove(e configfs.Export, c *console.Console) error {
	return removal{configfs.Busy, c.Warn}.run(nil, e.Remove)
}

// A removal of disks cannot be interrupted. busy names what the kernel has not
// finished, as [configfs.Busy] does.
type removal struct {
	busy func() string
	warn func(error)
}

// run removes disks. It warns once when that has taken warnAfter, and each time
// when a signal asks for it again. The time in a warning counts from the start of
// the removal, as the warning itself does.
func (r removal) run(again <-chan os.Signal, remove func() error) error {
	done := make(chan error, 1)
	go func() { done <- remove() }()
	start, late := time.Now(), time.After(warnAfter)
	for {
		select {
		case err := <-done:
			return err
		case <-again:
			// The signal may have come twice, or before.
			if time.Since(start) < time.Second {
				continue
			}
		case <-late:
		}
		took := time.Since(start).Round(time.Second)
		if what := r.busy(); what != "" {
			r.warn(hint.With(fmt.Errorf("still removing disks after %v; waiting for the kernel to %s", took, what),
				hint.Command{Words: []string{"dmesg"}, Pipe: []string{"tail"}}))
		} else {
			r.warn(errors.New("still closing images"))
		}
	}
}
