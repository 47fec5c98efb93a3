package serve

import (
	"errors"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
)

// The rule of job control: nothing but SIGSTOP stops this process while the kernel
// has disks of it. A stopped server completes no command, and the users of its
// disks hang in the kernel. A shell is of no use against that if it waits for its
// own disk.
//
// SIGTSTP, as from ^Z, is answered with a line. SIGTTIN and SIGTTOU come to a
// process in the background if any process of its group uses the terminal. This
// one does not read it by then, and console writes without asking for permission.

// refuseStops refuses to be stopped until down is run.
func (s *service) refuseStops(down *configfs.Undo) {
	stops, others := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(stops, unix.SIGTSTP)
	signal.Notify(others, unix.SIGTTIN, unix.SIGTTOU) // is not read; not ignored, which a command would inherit
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stops:
				s.refuseStop()
			case <-end:
				return
			}
		}
	}()
	down.Push(func() error {
		signal.Stop(stops)
		signal.Stop(others)
		close(end)
		<-done
		return nil
	})
}

// refuseStop answers ^Z. The terminal has stopped the other processes of the group.
// If this one leads the group, a shell waits for it and does not see that: a
// command, or the next program of a pipe, would stay stopped.
func (s *service) refuseStop() {
	s.console.Error(hint.With(errors.New("^Z is refused: it would stop the disks, and whatever uses them would hang"),
		hint.Command{Words: []string{"--fork"}, Purpose: "to serve in the background"}))
	if unix.Getpgrp() == unix.Getpid() {
		_ = unix.Kill(0, unix.SIGCONT) // has no effect on this process
	}
}
