package serve

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lunserve/lunserve/configfs"
)

// While disks are served, another may be added, and some of several removed: one such
// change at a time. It has a goroutine, since it may take long; only wait changes the set
// of disks.
//
// The guard knows of a change before it begins, as a kill may come at any moment: an image
// that is passing may have a disk or not. The successor of the server adopts that disk if
// it is there, and removes it.

// mayChange returns the reason that the set of disks cannot be changed now, or nil.
func (s *service) mayChange() error {
	switch {
	case s.options.Removable || s.options.CDROM:
		// Linux takes the unit attention condition that the other disks report for a
		// change of their medium (scsi_io_completion_action), and fails what it writes.
		return errors.New("disks of --removable and --cdrom are served and removed together: a change of the LUNs is one of the media to Linux")
	case s.cancelUpgrade != nil:
		return errors.New("lunserve is being upgraded; try again")
	case s.changed != nil:
		return errors.New("another disk is being added or removed; try again")
	}
	return nil
}

// keep has the guard know what is served, and what is passing.
func (s *service) keep(passing ...given) error {
	if s.guard == nil {
		return nil
	}
	all := givens(s.disks())
	for _, g := range passing {
		g.Passing = true
		all = append(all, g)
	}
	return s.guard.Keep(forGuard(all))
}

// settle has the guard know that nothing is passing any more. If it does not take that,
// wait tries again.
func (s *service) settle(until string) {
	if err := s.keep(); err != nil {
		s.console.Warn(fmt.Errorf("%w; it is told again, and if lunserve is killed until then, %s", err, until))
	}
}

// settleAgain tries again what the guard did not take.
func (s *service) settleAgain() {
	if s.guard != nil && s.changed == nil && s.guard.KeepAgain() {
		_ = s.keep() // it has been said
	}
}

// change does what takes long of a change. When it is over, wait calls end.
func (s *service) change(do func() error, end func(error)) {
	changed := make(chan func(), 1)
	s.changed = changed
	go func() {
		err := do()
		changed <- func() {
			s.changed = nil
			end(err)
		}
	}()
}

// serveThese makes these disks the ones that are served.
func (s *service) serveThese(disks []*disk) {
	_ = s.reports.Close() // it has no error
	s.setDisks(disks)
	s.startReports()
}

// remove removes some of several disks, and calls done in wait when they are gone.
func (s *service) remove(disks []*disk, done func(error)) {
	before := s.disks()
	rest := slices.DeleteFunc(slices.Clone(before), func(d *disk) bool { return slices.Contains(disks, d) })
	s.setDisks(rest)
	if err := s.keep(givens(disks)...); err != nil {
		s.setDisks(before)
		done(err)
		return
	}
	s.serveThese(rest)
	var steps configfs.Undo // if the removal of one hangs, that of others does not
	gone := make(chan struct{})
	for _, d := range disks {
		steps.For(d.key).Push(s.down.Take(d.key).Close)
		s.down.For(d.key).Push(func() error { <-gone; return nil })
	}
	s.change(func() error {
		defer close(gone)
		for _, d := range disks {
			d.leave()
		}
		return Removing(s.console, steps.Close)
	}, func(err error) {
		s.settle("the guard looks for what is removed, and removes what is left of it")
		for _, d := range disks {
			s.down.Take(d.key)
		}
		if err != nil {
			s.console.Warn(err)
			done(err)
			return
		}
		for _, d := range disks {
			s.sayRemoved(d)
		}
		_ = s.events.emit(Event{Event: "removed", Disks: s.states(disks...)}) // an error shows again at the end
		done(nil)
	})
}
