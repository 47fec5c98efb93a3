package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/guard"
)

// Run starts serving the disks, waits for the end, and removes them. It returns
// when nothing of them is left. The error is an [ExitStatus] if the process
// must exit with the status of the command. ctx interrupts only the start;
// later a signal ends the service.
//
// In a guard Run waits for the end of its server first, see [guard.Await].
func Run(ctx context.Context, o Options, c *console.Console) error {
	if death, is := guard.Await(); is {
		return succeed(ctx, o, c, death)
	}
	if takenErr != nil {
		return takenErr
	}
	if taken != nil {
		s, err := takeOver(o, c)
		if err != nil {
			return err
		}
		return s.serve(ctx)
	}
	return newService(o, c, starting).serve(ctx)
}

// serve is Run without the wait of a guard.
func (s *service) serve(ctx context.Context) error {
	o, c := s.options, s.console
	defer s.ignoreSignals()
	waiting := background()
	if o.Fork && waiting == nil && s.role == starting {
		return fork(s.stopSignals)
	}
	c.SetQuiet(o.Quiet || s.role == upgrading)
	c.OnWarning(func(text string) { _ = s.events.emit(Event{Event: "warning", Message: text}) })

	var down configfs.Undo
	defer down.Close() // also in a panic
	down.Push(s.removePIDFile)
	end := s.making(func() ending { return s.start(ctx, &down) })
	if end.cause == goesOn && s.role == removing {
		end = ending{cause: requested}
	}
	if end.cause == goesOn {
		end = s.ready(waiting, &down)
	}
	if end.cause == failed && s.role == upgrading {
		down = configfs.Undo{} // what is left is as after a kill, and the guard's
		return end.err
	}
	if end.cause == goesOn {
		end = s.wait()
	}
	for _, d := range s.disks {
		image.Hurry(d.image.base) // or the commands of its initiators keep the disk
	}
	s.calmFaults() // for the same reason
	end.add(s.removing(down.Close))
	if end.err != nil && s.role == starting {
		end.add(left())
	}
	s.warnOfRest()
	last := Event{Event: "exit"}
	if !s.started.IsZero() {
		s.summarize()
		last.Disks = s.states()
	}
	if end.err != nil {
		last.Error = hint.Text(end.err)
	}
	end.add(s.events.emit(last))
	end.add(s.events.close())
	return end.result(s.command, c)
}

// start makes the disks.
func (s *service) start(ctx context.Context, down *configfs.Undo) ending {
	return failure(interruption(ctx, s.bringUp(ctx, down)))
}

// interruption returns err or, if a signal caused it, what people call that: the
// step that waited was not at fault. An image that was being opened is named.
func interruption(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return errors.New("interrupted before the disks were ready")
	}
	return err
}

func (s *service) bringUp(ctx context.Context, down *configfs.Undo) (err error) {
	if s.options.ExitWithParent {
		if s.parentEnd, err = parentEnd(s.parent, s.role, down); err != nil {
			return err
		}
	}
	if err = s.readFaults(); err != nil {
		return err
	}
	if s.fabrics, err = s.newFabrics(ctx); err != nil {
		return err
	}
	if s.role != upgrading && !s.options.Userspace {
		configfs.WaitForKilled(ctx, killedTime) // for its locks
	}
	s.refuseStops(down)
	last := down.For("") // what is undone when the disks are gone
	// Images first: they are the likeliest to be wrong, and a typing error must
	// not touch the kernel.
	for lun, given := range s.options.Images {
		img, err := s.openWhenFree(ctx, given, down.For(lunName(lun)))
		if err != nil {
			return err
		}
		if err := s.options.canRestart(img); err != nil {
			return err
		}
		s.disks = append(s.disks, newDisk(lun, img, s.imageErrs))
	}
	if s.mount, err = s.findMount(ctx); err != nil {
		return err
	}
	if err := s.findDevices(ctx, down); err != nil {
		return err
	}
	for _, f := range s.fabrics {
		if err := f.check(); err != nil {
			return err
		}
	}
	if err := s.makeFiles(down, last); err != nil {
		return err
	}
	limitHeap(int64(len(s.disks))*s.options.caches(), s.options.Userspace)
	s.standing = holdOut()
	if !s.options.Userspace { // a guard removes what is left in the kernel
		last.Push(s.endGuard)
		if err := s.startGuard(); err != nil {
			return err
		}
	}
	s.ringErrs = make(chan error, len(s.disks))
	// A new device has no users yet, and those of an orphan wait: no thread of this
	// process can wait for storage between the two.
	if err := s.attachAll(ctx, false, down); err != nil {
		return err
	}
	if !s.options.Userspace { // which has to listen before
		s.confine()
	}
	if err := s.attachAll(ctx, true, down); err != nil {
		return err
	}
	s.serving = time.Now()
	if s.role == upgrading && s.guard != nil {
		s.guard.Renew() // the disks do not wait for that
	}
	if err := s.connect(ctx, down, last); err != nil {
		return err
	}
	return s.mountDisk(down)
}

// attachAll attaches the disks that are new, or those that are orphans.
func (s *service) attachAll(ctx context.Context, orphans bool, down *configfs.Undo) error {
	for _, d := range s.disks {
		if (d.orphan != nil) != orphans {
			continue
		}
		if err := s.attach(ctx, d, down.For(lunName(d.lun))); err != nil {
			return err
		}
	}
	return nil
}

// findDevices finds the devices that are not to be made, as they exist.
func (s *service) findDevices(ctx context.Context, down *configfs.Undo) error {
	switch {
	case s.options.Userspace:
		return nil
	case s.role == upgrading:
		return s.inherit(down)
	}
	var kinds []string
	for _, f := range s.fabrics {
		kinds = append(kinds, f.kind())
	}
	if s.options.CDROM && s.options.Loopback {
		kinds = append(kinds, "cdrom")
	}
	if err := configfs.Ready(kinds...); err != nil {
		return s.options.userspaceInstead(err)
	}
	if err := s.findOrphans(ctx, down); err != nil {
		return err
	}
	if s.role == starting {
		return nil
	}
	return s.mustAdopt()
}

// connect makes the targets, and makes each disk a LUN of all of them.
func (s *service) connect(ctx context.Context, down, last *configfs.Undo) (err error) {
	defer func() {
		// A SANITIZE in the background would keep a LUN from being removed.
		for _, d := range s.disks {
			down.For(lunName(d.lun)).Push(func() error {
				d.device.unit.Close()
				return d.dropPowerless()
			})
		}
	}()
	for _, f := range s.fabrics {
		addresses, err := f.up(ctx, s.disks, down, last)
		if err != nil {
			return errors.Join(err, pending(s.ringErrs))
		}
		for i, d := range s.disks {
			d.address = d.address.and(addresses[i])
		}
	}
	return nil
}

// lunName names what is undone for one disk.
func lunName(n int) string { return fmt.Sprint("LUN ", n) }

// pending returns the error of a ring that has failed, or nil.
func pending(ringErrs <-chan error) error {
	select {
	case err := <-ringErrs:
		return err
	default:
		return nil
	}
}
