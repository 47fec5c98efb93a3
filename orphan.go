package main

import (
	"errors"
	"os"

	"github.com/lunserve/lunserve/serve/control"
)

// orphaned returns a channel that is closed when the process that started this
// one ends.
//
// PR_SET_PDEATHSIG will not do: it goes by the thread that started us, which may
// end long before its process.
func orphaned(down *undo) (<-chan struct{}, error) {
	pid := os.Getppid()
	if pid == 1 {
		return nil, errors.New("--exit-with-parent: the process that started this one has ended already, or is the first of all")
	}
	ended, stop, err := control.ProcessEnd(pid)
	if err != nil {
		return nil, err
	}
	down.push(stop)
	if os.Getppid() != pid {
		// It has just ended, and another process may have its id.
		now := make(chan struct{})
		close(now)
		return now, nil
	}
	return ended, nil
}
