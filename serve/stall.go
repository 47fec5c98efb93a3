package serve

import (
	"fmt"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// stallAfter is how long a command may wait for the storage without a warning.
const stallAfter = 5 * time.Second

// A stall is a time in which commands wait for the storage of an image.
type stall struct {
	image string
	try   hint.Command // that examines the storage
	since time.Time    // zero if there is none
}

// look takes the command that has been waiting for longest, and since when; its
// name is empty if none waits. It returns a warning when a stall has lasted for
// stallAfter, and when it is over.
func (s *stall) look(now time.Time, command string, since time.Time) error {
	waits := command != "" && now.Sub(since) >= stallAfter
	switch {
	case waits && s.since.IsZero():
		s.since = since
		return hint.With(fmt.Errorf("%s: %s has been waiting for the storage for %v", s.image, command, now.Sub(since).Round(time.Second)), s.try)
	case !waits && !s.since.IsZero():
		took := now.Sub(s.since).Round(time.Second)
		s.since = time.Time{}
		return fmt.Errorf("%s: the storage answers again, after %v", s.image, took)
	}
	return nil
}

// look prints what there is to say about the images, and the errors that were not
// printed, each second.
func (s *service) look(now time.Time) {
	for _, d := range s.disks {
		command, since := d.device.unit.Waiting(now)
		if err := d.stall.look(now, command, since); err != nil {
			s.console.Warn(err)
		}
	}
	for _, l := range s.errorLimits() {
		if err := l.rest(now); err != nil {
			s.console.Warn(err)
		}
	}
}
