package serve

import (
	"context"
	"encoding/json"
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
func succeed(ctx context.Context, o Options, c *console.Console, death guard.Death, known *vouched) error {
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
		err := successor(o, c, succeeding, death, known).serve(ctx)
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
		s, removed := successor(o.forRemoval(), c, removing, death, known), make(chan error, 1)
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

// successor returns the service that takes the place of a server, with the images that
// this served at last.
func successor(o Options, c *console.Console, r role, death guard.Death, known *vouched) *service {
	s := newService(o, c, r)
	s.known, s.dead = known, death.PID
	if death.Kept == nil {
		return s
	}
	var images []given
	if err := json.Unmarshal(death.Kept, &images); err != nil {
		c.Warn(fmt.Errorf("the images that were served at last are not known: %w", err))
		return s
	}
	s.images = images
	for _, i := range images {
		s.usesLUN(i.LUN) // also of what cannot be opened any more
	}
	return s
}

// forGuard returns the images, for a successor.
func forGuard(images []given) []byte {
	text, _ := json.Marshal(images) // it has nothing that cannot be marshaled
	return text
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

// mustAdopt returns an error if there is nothing to adopt: a guard makes no disks. A disk
// that was being added or removed may not exist.
func (s *service) mustAdopt() error {
	if err := s.dropMissing(); err != nil {
		return err
	}
	for _, d := range s.disks() {
		if d.orphan == nil {
			return fmt.Errorf("%s: nothing is left to adopt", d.image.path)
		}
	}
	return nil
}

// dropMissing closes the images that are passing and have no disk.
func (s *service) dropMissing() error {
	var rest []*disk
	var errs []error
	for _, d := range s.disks() {
		if d.passing && d.orphan == nil {
			errs = append(errs, d.down.Close())
		} else {
			rest = append(rest, d)
		}
	}
	s.setDisks(rest)
	return errors.Join(errs...)
}

// removePassing removes the disks that the server before was adding or removing.
func (s *service) removePassing() {
	var passing []*disk
	for _, d := range s.disks() {
		if d.passing {
			passing = append(passing, d)
		}
	}
	if len(passing) > 0 {
		s.remove(passing, func(error) {})
	}
}

// openWhenFree is openImage. A guard may come when another start has locked the
// image, which wants to adopt the disks as well. If that takes its locks at the same
// time it fails, so the guard tries again while the disks are orphans.
func (s *service) openWhenFree(ctx context.Context, of given, down *configfs.Undo) (*openedImage, error) {
	for end := time.Now().Add(killedTime); ; time.Sleep(20 * time.Millisecond) {
		img, err := s.openImage(ctx, of, down)
		if s.role == starting || !errors.Is(err, backstores.ErrLocked) || ctx.Err() != nil || time.Now().After(end) {
			return img, err
		}
		dead := func(e configfs.Export) bool { return !e.Alive }
		if all, _ := configfs.Exports(); !slices.ContainsFunc(all, dead) {
			return nil, err
		}
	}
}

// An opener is a function like openWhenFree.
type opener func(ctx context.Context, of given, down *configfs.Undo) (*openedImage, error)

// passingTime limits the wait for an image that is passing: other disks wait meanwhile.
const passingTime = time.Second

// inTime returns an opener for images that are passing.
func inTime(open opener) opener {
	type result struct {
		img *openedImage
		err error
	}
	return func(ctx context.Context, of given, down *configfs.Undo) (*openedImage, error) {
		own := new(configfs.Undo)
		opened, late := make(chan result), make(chan struct{})
		go func() { // left behind if storage hangs
			img, err := open(ctx, of, own)
			select {
			case opened <- result{img, err}:
			case <-late:
				_ = own.Close() // nobody is told any more
			}
		}()
		select {
		case r := <-opened:
			down.Push(own.Close)
			return r.img, r.err
		case <-time.After(passingTime):
			close(late)
			return nil, fmt.Errorf("%s: its storage does not answer", of.Image.Path)
		}
	}
}

// removeDropped removes what the server before has left of images that are passing and
// are not served, and returns what is left of others.
func (s *service) removeDropped(ctx context.Context, exports []configfs.Export) (rest []configfs.Export, err error) {
	for _, e := range exports {
		if !s.isDropped(e) {
			rest = append(rest, e)
			continue
		}
		ring, err := openRing(ctx, e.UIO, true)
		if err == nil {
			err = e.RemoveBesideOthers()
		}
		if ring != nil {
			err = errors.Join(err, ring.Close())
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// isDropped reports whether an orphan is what is left of an image that is passing and is
// not served. Without a LUN it has no users, whichever it is of.
func (s *service) isDropped(e configfs.Export) bool {
	if e.Alive || e.PID != s.dead || len(s.dropped) == 0 {
		return false
	}
	if len(e.LUNs) == 0 {
		return s.diskOf(e) == nil
	}
	return slices.Contains(s.dropped, e.LUNs[0].Number)
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
	s.guard, err = guard.TakeOver(before, s.options.Fork, forGuard(givens(s.disks())), s.console.Warn)
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
