package confine

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits are what a process keeps.
type Limits struct {
	// Paths are the files that it may open. Without any, Landlock is not used.
	Paths []Path

	// Capabilities are those that stay, such as unix.CAP_CHOWN.
	Capabilities []int
}

// Process confines this process. It cannot be undone. An error means that less
// holds than the kernel offers; the state says what.
//
// The other threads take part in it at their next return from the kernel, and the
// world is stopped until all have: call it while none of them may wait for
// storage.
func Process(l Limits) (s State, err error) {
	if _, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e == syscall.ENOTSUP {
		return s, nil // a program with cgo, such as one with the race detector
	} else if e != 0 {
		return s, fmt.Errorf("no_new_privs: %w", e)
	}
	s.NoNewPrivs = true
	var errs [3]error
	if len(l.Paths) > 0 {
		s.Landlock, errs[0] = restrictPaths(l.Paths)
	}
	errs[1] = dropCapabilities(l.Capabilities)
	s.Capabilities = errs[1] == nil
	s.Seccomp, errs[2] = filterCalls() // last: it must not refuse what is done here
	return s, errors.Join(errs[:]...)
}
