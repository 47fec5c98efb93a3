package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A lunserve that was killed leaves its disks: orphans. Their users wait, and
// nothing is lost yet. A start with the same image adopts the orphan: it opens
// and locks the image, opens the ring, has the kernel send again what was not
// completed, serves, and signs as the owner. The disk keeps node and identity.
//
// An orphan is of the same image if its contents are: a path proves nothing, as
// another file may be there by now. An image is not written beside an orphan of another
// part of it. There is never a second disk with the
// identity of an orphan.

// An orphan is to be adopted. Nobody else can open its ring.
type orphan struct {
	configfs.Export
	ring *tcmu.Device
}

// killedTime limits the wait for a process that was killed: it has to return
// from the kernel, and the kernel to unmap its memory.
const killedTime = 3 * time.Second

// findOrphans finds the orphans of the images, to be adopted. It removes those
// that cannot have users, and warns of those of other images.
func (s *service) findOrphans(ctx context.Context, down *configfs.Undo) error {
	exports, err := configfs.Exports()
	if err != nil {
		return err
	}
	_ = configfs.Sweep(exports) // what it cannot remove does no harm here
	for _, e := range exports {
		if e.Alive {
			continue
		}
		d := s.diskOf(e)
		ring, err := openRing(ctx, e.UIO, d != nil)
		switch {
		case d != nil && len(e.LUNs) == 0 && !errors.Is(err, tcmu.ErrServed):
			if ring != nil {
				err = ring.Close()
			}
			if err := errors.Join(err, e.Remove()); err != nil {
				return err
			}
		case d != nil && errors.Is(err, tcmu.ErrServed) && (d.image.writes == control.Refused || !d.image.isOf(e.Contents)):
			// It is served in another PID namespace, and the locks allow both: readers
			// share an image.
		case d != nil:
			if ring != nil {
				d.orphan = &orphan{e, ring}
				d.image.provisionAs(e.Contents)
				down.For(lunName(d.lun)).Push(ring.Close)
				err = s.cannotAdopt(d)
			}
			if err != nil {
				return hint.Try(fmt.Errorf("%s: a lunserve that was killed (pid %d) left the disk %s, which cannot be adopted: %w",
					d.image.path, e.PID, e.Name, err), "lunserve", "detach", "--force", e.Name)
			}
		case err == nil && len(e.LUNs) > 0:
			s.console.Warn(errors.Join(ring.Close(), hint.Try(fmt.Errorf("%s: its lunserve was killed (pid %d), and its users wait",
				e.Name, e.PID), "lunserve", "detach", "--force", e.Name)))
		}
	}
	return s.adoptTargets(exports)
}

// diskOf returns the disk that is to be made of the image of an orphan, or nil.
// What was written to a temporary file is gone, so there is nothing to adopt. A disk of
// another part cannot adopt it, and is returned if one of them writes the image: the
// users of an orphan still hold what they are going to write.
func (s *service) diskOf(e configfs.Export) (of *disk) {
	if !keepsWrites(e.Contents) {
		return nil
	}
	for _, d := range s.disks {
		switch {
		case d.image.writes == control.Temporary:
		case d.image.isOf(e.Contents):
			if d.orphan == nil {
				return d
			}
		case d.image.isOfImage(e.Contents) && (d.image.writes == control.InPlace || isInPlace(e.Contents)):
			of = d
		}
	}
	return of
}

// openRing opens the ring of an orphan. Another lunserve that is starting may have
// it open for a moment, to see whether it is served.
func openRing(ctx context.Context, uio string, wait bool) (ring *tcmu.Device, err error) {
	if uio == "" {
		return nil, nil // its process was killed while it made the disk
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for {
		ring, err = tcmu.Open(uio)
		if !wait || ctx.Err() != nil || !errors.Is(err, tcmu.ErrServed) {
			return ring, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cannotAdopt returns the reason that the orphan of a disk is not that disk.
func (s *service) cannotAdopt(d *disk) error {
	e := d.orphan
	if !d.image.isOf(e.Contents) {
		return errors.New("it is another part of the image")
	}
	if now := d.image.contents(s.options.kind()); now != e.Contents {
		return fmt.Errorf("it is %q, not %q", e.Contents, now)
	}
	if d.image.size() != e.Size {
		return fmt.Errorf("it has %d bytes, not %d", e.Size, d.image.size())
	}
	for _, l := range e.LUNs {
		if l.Number != d.lun {
			return fmt.Errorf("it is %s, not LUN %d", l, d.lun)
		}
		if !slices.ContainsFunc(s.fabrics, func(f fabric) bool { return f.kind() == l.Fabric }) {
			return fmt.Errorf("it is %s, and this command makes no %s target", l, l.Fabric)
		}
	}
	return nil
}

// adoptTargets gives each fabric the target that the orphans are in.
func (s *service) adoptTargets(exports []configfs.Export) error {
	for _, f := range s.fabrics {
		target := ""
		for _, d := range s.disks {
			for _, l := range d.luns(f.kind()) {
				if target != "" && target != l.Target {
					return fmt.Errorf("%s: cannot be adopted: its LUNs are in %s and in %s", d.orphan.Name, target, l.Target)
				}
				target = l.Target
			}
		}
		if target == "" {
			continue
		}
		for _, e := range exports {
			in := func(l configfs.LUN) bool { return l.Target == target && l.Fabric == f.kind() }
			ours := func(d *disk) bool { return d.orphan != nil && d.orphan.Name == e.Name }
			if slices.ContainsFunc(e.LUNs, in) && !slices.ContainsFunc(s.disks, ours) {
				return hint.Try(fmt.Errorf("%s: cannot be adopted without %s, which was served with it", target, e.Name),
					"lunserve", "detach", "--force", e.Name)
			}
		}
		if err := f.adopt(target); err != nil {
			return fmt.Errorf("%s: cannot be adopted: %w", target, err)
		}
	}
	return nil
}

// luns returns the places of the disk's orphan in targets of a fabric.
func (d *disk) luns(fabric string) (all []configfs.LUN) {
	if d.orphan == nil {
		return nil
	}
	for _, l := range d.orphan.LUNs {
		if l.Fabric == fabric {
			all = append(all, l)
		}
	}
	return all
}

// recover makes the ring of an orphan usable. The device stays an orphan until
// sign.
func (o *orphan) recover(spec configfs.Spec) (*configfs.Device, error) {
	kernel := configfs.AdoptDevice(o.Export, spec)
	return kernel, o.ring.Recover(func(pending bool) error {
		scsi.Recovered(o.ring.Spare(), pending)
		return kernel.Requeue()
	})
}

// sign makes this process the owner of an orphan that it serves, and removes what
// only the process before used.
func (s *service) sign(d *disk) error {
	if err := s.unlessFenced(d.device.kernel.Sign); err != nil {
		return err
	}
	s.console.Say("%s: adopted the disk %s of lunserve (pid %d), which was killed", d.image.path, d.orphan.Name, d.orphan.PID)
	_ = control.RemoveStale(d.orphan.PID)
	if s.role == removing && s.pidFile == nil {
		s.pidFile = pidFileOf(s.options, d.orphan.PID) // removed at the end
	}
	return d.orphan.Sweep()
}
