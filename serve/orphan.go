package serve

import (
	"errors"
	"os"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
)

// parentEnd returns a channel that is closed when the process that started this
// one ends, whose id is pid.
//
// PR_SET_PDEATHSIG does not work: it fires at the end of the thread that
// started this process, which may be long before the end of the parent process.
func parentEnd(pid int, r role, down *configfs.Undo) (<-chan struct{}, error) {
	if pid == 1 {
		return nil, errors.New("--exit-with-parent: the parent process has already ended, or is init")
	}
	ended, stop, err := control.ProcessEnd(pid)
	if err == nil {
		down.Push(stop)
	}
	if os.Getppid() != pid && (err == nil || r == upgrading) {
		// It has just ended, and another process may have its id.
		now := make(chan struct{})
		close(now)
		return now, nil
	}
	return ended, err
}
