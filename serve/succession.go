package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/serve/guard"
)

// softTime limits the removal of disks in good order. Their users wait meanwhile.
const softTime = 2 * time.Second

// succeed is Run in the guard of a server that has died. With --restart it goes on
// with its disks. Otherwise it removes them in good order, so that nothing is lost
// that their users have synced, or in the end by force: an error is better than to
// wait for ever.
func succeed(ctx context.Context, o Options, c *console.Console, death guard.Death) error {
	if len(death.Left) == 0 {
		if death.PID != 0 && !death.Stuck {
			return configfs.SweepAfter(death.PID) // it may have been killed before its first device, or after its last
		}
		return nil
	}
	if o.Fork {
		c.UseSyslog("lunserve")
	}
	killed := fmt.Sprintf("lunserve (pid %d) was killed", death.PID)
	switch {
	case o.Restart && !guard.TooMany():
		c.Warn(fmt.Errorf("%s; starting another", killed))
		guard.SetName("lunserve")
		err := newService(o, c, succeeding).serve(ctx)
		if err != nil {
			err = errors.Join(err, removeByForce(o, death, false, c))
		}
		return err
	case o.Restart:
		c.Warn(fmt.Errorf("%s, the third time in ten seconds; removing its disks", killed))
	default:
		c.Warn(fmt.Errorf("%s; removing its disks", killed))
		if death.Stuck {
			break // its threads may still write
		}
		s, removed := newService(o.forRemoval(), c, removing), make(chan error, 1)
		go func() { removed <- s.serve(ctx) }()
		select {
		case err := <-removed:
			if err == nil {
				return nil
			}
			c.Warn(err)
		case <-time.After(softTime):
			c.Warn(fmt.Errorf("the disks are not removed after %v; removing them by force", softTime))
			s.fence()
			err := removeByForce(o, death, true, c)
			// Nothing keeps it any longer, and its undo steps leave nothing.
			select {
			case <-removed:
			case <-time.After(softTime):
			}
			return err
		}
	}
	return removeByForce(o, death, false, c)
}

// removeByForce removes what is left of the disks of a dead server, and of this
// process if it has adopted them. What was not flushed is lost. Disks that
// another process has adopted meanwhile stay: unless this process has the rings
// open, Remove opens them, which fails then.
func removeByForce(o Options, death guard.Death, open bool, c *console.Console) error {
	all, err := configfs.Exports()
	errs := []error{err}
	var disks configfs.Undo
	for _, e := range all {
		// Of several, the last may be made when the others are left already.
		left := e.PID == death.PID || slices.ContainsFunc(death.Left, func(l configfs.Export) bool { return l.Name == e.Name })
		if left && o.MountDir != "" {
			disks.For(e.Name).Push(detachMount(e))
		}
		switch {
		case !left:
		case e.PID == configfs.Self() || open && !e.Alive:
			disks.For(e.Name).Push(e.RemoveByForce)
		case !e.Alive:
			disks.For(e.Name).Push(e.Remove)
		}
	}
	errs = append(errs, Removing(c, disks.Close))
	_ = control.RemoveStale(death.PID)
	if file := pidFileOf(o, death.PID); file != nil {
		errs = append(errs, file.remove())
	}
	return errors.Join(errs...)
}

// mustAdopt returns an error if there is nothing to adopt: a guard makes no disks.
func (s *service) mustAdopt() error {
	for _, d := range s.disks {
		if d.orphan == nil {
			return fmt.Errorf("%s: nothing is left to adopt", d.image.path)
		}
	}
	return nil
}

// openWhenFree is openImage. A guard may come when another start has locked the
// image, which wants to adopt the disks as well. If that takes its locks at the same
// time it fails, so the guard tries again while the disks are orphans.
func (s *service) openWhenFree(ctx context.Context, given Image, down *configfs.Undo) (*openedImage, error) {
	for end := time.Now().Add(killedTime); ; time.Sleep(20 * time.Millisecond) {
		img, err := s.openImage(ctx, given, down)
		if s.role == starting || !errors.Is(err, backstores.ErrLocked) || ctx.Err() != nil || time.Now().After(end) {
			return img, err
		}
		dead := func(e configfs.Export) bool { return !e.Alive }
		if all, _ := configfs.Exports(); !slices.ContainsFunc(all, dead) {
			return nil, err
		}
	}
}

// startGuard starts the guard, before anything exists that it would have to
// remove, or goes on with that of the program before. Without --restart the disks
// work without.
func (s *service) startGuard() (err error) {
	if s.role == removing {
		return nil
	}
	var before *guard.Handed
	if s.taken != nil {
		before = s.taken.Guard
	}
	s.guard, err = guard.TakeOver(before, s.options.Fork, s.console.Warn)
	if err != nil && (s.role == upgrading || !s.options.Restart) {
		s.console.Warn(err)
		return nil
	}
	return err
}

func (s *service) endGuard() error {
	if s.guard == nil {
		return nil
	}
	return s.guard.Close()
}
