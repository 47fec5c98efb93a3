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

// warnAfter is how long a step that cannot be interrupted may take without a
// word.
const warnAfter = 5 * time.Second

// Remove removes a disk whose process was killed, and says what the kernel is
// waited for if that takes long.
func Remove(e configfs.Export, c *console.Console) error {
	return runUninterruptible(c, nil, e.Remove)
}

// runUninterruptible runs steps that nothing can interrupt, such as the removal of
// disks. When an operation of the kernel has taken warnAfter, or when a signal asks
// again, it names the operation that the kernel has not finished.
func runUninterruptible(c *console.Console, again <-chan os.Signal, run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	start, late := time.Now(), time.NewTimer(warnAfter)
	defer late.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-again:
			// The signal may have come twice, or before.
			if time.Since(start) < time.Second {
				continue
			}
		case <-late.C:
			// Operations follow each other. Each counts from its own start.
			if what, since := configfs.Busy(); what != "" && time.Since(since) < warnAfter {
				late.Reset(warnAfter - time.Since(since))
				continue
			}
		}
		if what, since := configfs.Busy(); what != "" {
			c.Warn(hint.With(fmt.Errorf("the kernel has taken %v so far to %s", time.Since(since).Round(time.Second), what),
				hint.Command{Words: []string{"dmesg"}, Pipe: []string{"tail"}}))
		} else {
			c.Warn(errors.New("still closing images"))
		}
	}
}
