package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/serve/guard"
)

// Run starts serving the disks, waits for the end, and removes them. It returns
// when nothing of them is left. The error is an [ExitStatus] if the process
// must exit with the status of the command. ctx interrupts only the start;
// later a signal ends the service.
//
// In a guard Run waits for the end of its server first, see [guard.Await].
func Run(ctx context.Context, o Options, c *console.Console) error {
	known := newVouched(o.Images)
	if death, is := guard.Await(known.accept); is {
		return succeed(ctx, o, c, death, known)
	}
	if takenErr != nil {
		return takenErr
	}
	if taken != nil {
		return takeOver(o, c).serve(ctx)
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
	for _, d := range s.disks() {
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
		for _, d := range s.disks() {
			s.sayRemoved(d)
		}
		last.Disks = s.states(s.disks()...)
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
	s.down = down.For("disks")
	var disks []*disk
	for _, given := range s.images {
		d, err := s.open(ctx, given)
		if err != nil {
			return err
		}
		if d != nil {
			disks = append(disks, d)
		}
		s.setDisks(slices.Clone(disks))
	}
	if s.mount, err = s.findMount(ctx); err != nil {
		return err
	}
	if err := s.findDevices(ctx); err != nil {
		return err
	}
	for _, f := range s.fabrics {
		if err := f.check(); err != nil {
			return err
		}
	}
	if err := s.makeFiles(last); err != nil {
		return err
	}
	limitHeap(int64(len(s.disks()))*s.options.caches(), s.options.Userspace)
	s.standing = holdOut()
	if !s.options.Userspace { // a guard removes what is left in the kernel
		last.Push(s.endGuard)
		if err := s.startGuard(); err != nil {
			return err
		}
	}
	// A new device has no users yet, and those of an orphan wait: no thread of this
	// process can wait for storage between the two.
	if err := s.attachAll(ctx, false); err != nil {
		return err
	}
	if !s.options.Userspace { // which has to listen before
		s.confine()
	}
	if err := s.attachAll(ctx, true); err != nil {
		return err
	}
	s.serving = time.Now()
	if s.role == upgrading && s.guard != nil {
		s.guard.Renew() // the disks do not wait for that
	}
	if err := s.connect(ctx, down, last); err != nil {
		return err
	}
	return s.mountDisk()
}

// open opens the image of a disk that has its own undo steps from then on. The disk is nil
// if the image is passing, and cannot be opened or adopted.
func (s *service) open(ctx context.Context, of given) (*disk, error) {
	key := s.newKey()
	down := s.down.For(key)
	open := opener(s.openWhenFree)
	if of.Passing {
		open = inTime(open)
	}
	img, err := open(ctx, of, down)
	if err == nil {
		err = s.options.canRestart(img)
	}
	if of.Passing && (err != nil || img.writes == control.Temporary) { // it need not be there
		s.dropped = append(s.dropped, of.LUN)
		return nil, s.down.Take(key).Close()
	}
	if err != nil {
		return nil, err
	}
	return newDisk(of, img, key, down, s.imageErrs), nil
}

// newKey returns a name for the undo steps of one disk.
func (s *service) newKey() string {
	s.opened++
	return fmt.Sprint("disk ", s.opened)
}

// attachAll attaches the disks that are new, or those that are orphans.
func (s *service) attachAll(ctx context.Context, orphans bool) error {
	for _, d := range s.disks() {
		if (d.orphan != nil) != orphans {
			continue
		}
		if err := s.attach(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// findDevices finds the devices that are not to be made, as they exist.
func (s *service) findDevices(ctx context.Context) error {
	switch {
	case s.options.Userspace:
		return nil
	case s.role == upgrading:
		return s.inherit()
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
	if err := s.findOrphans(ctx); err != nil {
		return err
	}
	if s.role == starting {
		return nil
	}
	return s.mustAdopt()
}

// connect makes the targets, and makes each disk a LUN of all of them.
func (s *service) connect(ctx context.Context, down, last *configfs.Undo) error {
	defer func() {
		for _, d := range s.disks() {
			d.down.Push(d.quiesce)
		}
	}()
	for _, d := range s.disks() {
		s.usesLUN(d.lun)
	}
	for _, f := range s.fabrics {
		err := f.up(down, last)
		for _, d := range s.disks() {
			if err == nil {
				err = d.connect(ctx, f)
			}
		}
		if err == nil {
			err = f.admit(ctx, down)
		}
		if err != nil {
			return errors.Join(err, pending(s.ringErrs))
		}
	}
	return nil
}

// connect makes the disk a LUN of a target.
func (d *disk) connect(ctx context.Context, f fabric) error {
	a, err := f.add(ctx, d)
	if err == nil {
		d.address = d.address.and(a)
	}
	return err
}

// quiesce is the first step of the removal of the disk. A SANITIZE in the background
// would keep a LUN from being removed.
func (d *disk) quiesce() error {
	d.device.unit.Close()
	return d.dropPowerless()
}

// pending returns the error of a ring that has failed, or nil.
func pending(ringErrs <-chan error) error {
	select {
	case err := <-ringErrs:
		return err
	default:
		return nil
	}
}

// pendingOf returns the error of the ring of a disk if that has failed. That of another
// disk stays.
func pendingOf(d *disk, ringErrs chan error) error {
	err := pending(ringErrs)
	var ring *ringError
	if err == nil || errors.As(err, &ring) && ring.of == d {
		return err
	}
	select {
	case ringErrs <- err:
	default: // another has failed meanwhile, and that is enough
	}
	return nil
}
