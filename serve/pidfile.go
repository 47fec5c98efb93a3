package serve

import (
	"fmt"
	"os"

	"github.com/lunserve/lunserve/configfs"
)

// makeFiles makes the files that the options name, while this process may write them. A
// guard that is confined may not. It takes the place of its server nevertheless, whose
// disks are in use, and warns.
func (s *service) makeFiles(down, last *configfs.Undo) error {
	if s.options.Trace {
		if err := s.unlessSucceeding(s.trace(last)); err != nil {
			return err
		}
	}
	if s.options.PIDFile == "" || s.role == removing || s.role == upgrading {
		return nil
	}
	s.pidDraft = pidFiles.draft(s.options.PIDFile, fmt.Appendln(nil, os.Getpid()))
	down.Push(func() error {
		s.pidDraft.drop()
		return nil
	})
	if s.role == succeeding {
		return nil // writePIDFile warns
	}
	return s.pidDraft.err
}

// unlessSucceeding returns err, or warns of it if disks are in use already.
func (s *service) unlessSucceeding(err error) error {
	if err == nil || s.role != succeeding {
		return err
	}
	s.console.Warn(err)
	return nil
}

// writePIDFile gives the pid file its name. If that cannot be in a guard that takes the
// place of its server, there is none: not that of a process which has ended.
func (s *service) writePIDFile() (err error) {
	if s.role == upgrading {
		s.pidFile = pidFileOf(s.options, os.Getpid())
		return nil
	}
	if s.pidDraft == nil {
		return nil
	}
	s.pidFile, err = s.pidDraft.publish()
	if err != nil && s.role == succeeding {
		for _, d := range s.disks {
			if before := pidFileOf(s.options, d.orphan.PID); before != nil {
				_ = before.remove()
			}
		}
	}
	return s.unlessSucceeding(err)
}

// removePIDFile removes the pid file. It runs last, because scripts take that
// for the end.
func (s *service) removePIDFile() error {
	if s.pidFile == nil {
		return nil
	}
	return s.pidFile.remove()
}

// pidFileOf returns the pid file of a process that was killed, or of this one, or nil.
func pidFileOf(o Options, pid int) *ownFile {
	if o.PIDFile == "" {
		return nil
	}
	return pidFiles.adopt(o.PIDFile, fmt.Appendln(nil, pid))
}
