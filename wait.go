package main

import (
	"fmt"
	"os"
	"time"

	"github.com/lunserve/lunserve/configfs"
)

// patience is how long what nothing can interrupt may take without a word.
const patience = 5 * time.Second

// insist does what nothing can interrupt, such as to take disks away. If that
// takes long, or is asked for again, it tells what the kernel is waited for.
func insist(again <-chan os.Signal, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	start, late := time.Now(), time.After(patience)
	for {
		select {
		case err := <-done:
			return err
		case <-again:
			// A signal that came twice, or before, has no need of words.
			if time.Since(start) < time.Second {
				continue
			}
		case <-late:
		}
		if what, since := configfs.Busy(); what != "" {
			con.Warn(fmt.Errorf("the kernel has taken %v so far to %s; dmesg | tail may tell why", time.Since(since).Round(time.Second), what))
		} else {
			con.Warn(fmt.Errorf("still closing images"))
		}
	}
}
