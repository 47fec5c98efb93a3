package main

import (
	"os"
	"time"

	"github.com/lunserve/lunserve/configfs"
)

// patience is how long what nothing can interrupt may take without a word.
const patience = 5 * time.Second

// insist does what nothing can interrupt, such as to take disks away. If that
// takes long, or is asked for again, it names the operation that the kernel has
// not finished. An operation is given patience from its own beginning, which is
// the one that the message counts from.
func insist(again <-chan os.Signal, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	start, late := time.Now(), time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-again:
			// A signal that came twice, or before, has no need of words.
			if time.Since(start) < time.Second {
				continue
			}
		case <-late.C:
			if what, since := configfs.Busy(); what != "" && time.Since(since) < patience {
				late.Reset(patience - time.Since(since))
				continue
			}
		}
		if what, since := configfs.Busy(); what != "" {
			warn("the kernel has taken %v so far to %s; dmesg | tail may tell why", time.Since(since).Round(time.Second), what)
		} else {
			warn("still closing images")
		}
	}
}
