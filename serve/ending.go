package serve

import (
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/serve/console"
)

// An ending is why a service ends, and the errors up to its last step.
type ending struct {
	cause cause
	err   error
}

type cause int

const (
	goesOn       cause = iota // there is no reason yet
	requested                 // by a signal, by lunserve detach, or with the parent process
	commandEnded              // the command of --run exited first
	failed                    // a step of the start, or a ring
)

// failure returns the ending for an error, or none if err is nil.
func failure(err error) ending {
	if err == nil {
		return ending{}
	}
	return ending{failed, err}
}

// add adds the error of a later step, if it has one.
func (e *ending) add(err error) { e.err = errors.Join(e.err, err) }

// An ExitStatus is the error of a command that was run: its exit status, as a
// shell reports it. The command itself has printed why.
type ExitStatus int

func (e ExitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// result returns the error for Run. The status of the command counts if the
// command ended the service, or if nothing else went wrong: a failed service
// may have killed it.
func (e ending) result(c *command, out *console.Console) error {
	status := c.status()
	if status == nil || e.err != nil && e.cause != commandEnded {
		return e.err
	}
	if e.err != nil {
		out.Warn(e.err)
	}
	return status
}
