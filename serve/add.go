package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu"
)

// A server that is confined can open neither an image nor a ring that it did not have at
// its start. So lunserve add opens them, and passes the open files. With these the server
// makes the disk as it does at a start.

// An addition asks the service for one more disk. It is answered once, unless the service
// ends.
type addition struct {
	of     given
	answer chan<- added
	over   chan<- struct{} // closed when nothing of it is used any more
}

type added struct {
	disk control.Disk
	err  error
}

// Add implements [control.Host].
func (h host) Add(ctx context.Context, i control.Image, files []*os.File, open func(path string) (*os.File, error)) (control.Disk, error) {
	of, err := fromOutside(i, files, open)
	if err != nil {
		return control.Disk{}, err
	}
	answer, over := make(chan added, 1), make(chan struct{})
	select {
	case h.additions <- addition{of, answer, over}:
	case <-ctx.Done():
		of.handed.close()
		return control.Disk{}, endingCause(ctx)
	}
	select {
	case a := <-answer:
		return a.disk, a.err
	case <-ctx.Done():
		<-over
		return control.Disk{}, endingCause(ctx)
	}
}

// fromOutside returns an image that lunserve add has opened.
func fromOutside(i control.Image, files []*os.File, open func(path string) (*os.File, error)) (given, error) {
	of := given{
		Image:  Image{Path: i.Path, ReadOnly: i.ReadOnly, Overlay: i.Overlay, Part: Part{i.Partition, i.Offset, i.Limit}},
		handed: &handedOverDisk{Size: i.Size, Image: -1, Overlay: -1, open: open},
	}
	var errs []error
	for n, fd := range []*int{&of.handed.Image, &of.handed.Overlay} {
		if n < len(files) {
			var err error
			*fd, err = inheritable(files[n])
			errs = append(errs, err)
		}
	}
	switch {
	case !filepath.IsAbs(i.Path) || i.Overlay != "" && !filepath.IsAbs(i.Overlay):
		errs = append(errs, fmt.Errorf("%s: not an absolute path", i.Path))
	case i.Size <= 0 || i.Partition < 0 || min(i.Offset, i.Limit) < 0:
		errs = append(errs, fmt.Errorf("%s: invalid size or offset", i.Path))
	case of.handed.Image < 0 || (of.handed.Overlay < 0) != (i.Overlay == ""):
		errs = append(errs, fmt.Errorf("%s: came without its open files", i.Path))
	}
	err := errors.Join(errs...)
	if err != nil {
		of.handed.close()
	}
	return of, err
}

// inheritable returns a descriptor of a file, which it closes.
func inheritable(f *os.File) (int, error) {
	defer f.Close()
	return unix.FcntlInt(uintptr(descriptor(f)), unix.F_DUPFD_CLOEXEC, 3)
}

// openRing opens the ring of a device that was made for an image.
func (h *handedOverDisk) openRing(uio string) (*tcmu.Device, error) {
	if h == nil {
		return tcmu.Open(uio)
	}
	f, err := h.open(uio)
	if err != nil {
		return nil, err
	}
	fd, err := inheritable(f)
	if err != nil {
		return nil, err
	}
	var is, want unix.Stat_t
	err = errors.Join(unix.Fstat(fd, &is), unix.Stat(uio, &want))
	if err == nil && (is.Mode&unix.S_IFMT != unix.S_IFCHR || is.Rdev != want.Rdev) {
		err = fmt.Errorf("%s: another file was opened in its place", uio)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return tcmu.Inherit(uio, fd)
}

// close closes what nobody has taken.
func (h *handedOverDisk) close() {
	for _, fd := range []*int{&h.Image, &h.Overlay} {
		if n := takenFrom(fd); n >= 0 {
			unix.Close(n)
		}
	}
}

// takenFrom returns a descriptor that becomes the caller's.
func takenFrom(fd *int) (n int) {
	n, *fd = *fd, -1
	return n
}

// add begins to make one more disk.
func (s *service) add(a addition) {
	err := cmp.Or(s.mayChange(), s.canAdd(a.of.Image))
	if err == nil {
		a.of.LUN = s.freeLUN()
		err = s.keep(a.of)
	}
	if err != nil {
		a.of.handed.close()
		close(a.over)
		a.answer <- added{err: err}
		return
	}
	key := s.newKey()
	ctx, cancel := context.WithCancel(context.Background())
	made := make(chan struct{})
	down := new(configfs.Undo)
	s.down.For(key).Push(func() error {
		cancel()
		<-made
		return down.Close()
	})
	var d *disk
	s.change(func() error {
		defer close(a.over)
		defer close(made)
		defer a.of.handed.close()
		err := Making(s.console, func() (err error) {
			d, err = s.make(ctx, a.of, key, down)
			return err
		})
		if err != nil {
			err = errors.Join(interruption(ctx, err), Removing(s.console, down.Close))
		}
		return err
	}, func(err error) {
		if err != nil {
			s.down.Take(key)
		} else {
			d.image.starting = false // it is the user's now
			disks := append(slices.Clone(s.disks()), d)
			slices.SortFunc(disks, byLUN)
			s.serveThese(disks)
		}
		s.settle(fmt.Sprintf("the guard removes LUN %d", a.of.LUN))
		if err != nil {
			a.answer <- added{err: err}
			return
		}
		s.console.Say("%s: added as LUN %d, %s", d.image.path, d.lun, d.title())
		state := d.state(s.confined.Names())
		_ = s.events.emit(Event{Event: "added", Disks: []control.Disk{state}}) // an error shows again at the end
		a.answer <- added{disk: state}
	})
}

// freeLUN returns a LUN for one more disk: the first that is higher than all before. An
// initiator that has not seen that a disk was removed still has its file system and what
// it has not written yet: at the same LUN it would write that to another image. A LUN is
// used again only if none is left.
func (s *service) freeLUN() (lun int) {
	if s.nextLUN < MaxDisks {
		return s.nextLUN
	}
	for slices.ContainsFunc(s.disks(), func(d *disk) bool { return d.lun == lun }) {
		lun++
	}
	return lun
}

// usesLUN notes that initiators may see a disk at a LUN.
func (s *service) usesLUN(lun int) { s.nextLUN = max(s.nextLUN, lun+1) }

// canAdd returns the reason that no disk can be added, or not that of an image.
func (s *service) canAdd(i Image) error {
	o := &s.options
	if !i.ReadOnly && o.ISCSI != nil && o.readOnly() {
		return fmt.Errorf("%s: the iSCSI target is read-only, as the images were at its start; write ,ro behind the name", i.Path)
	}
	var err error
	switch {
	case len(s.disks()) == MaxDisks:
		err = fmt.Errorf("a target has at most %d disks", MaxDisks)
	case o.MountDir != "":
		err = errors.New("its lunserve has mounted the only disk that it can have")
	case o.Identity.Serial != "" || o.Identity.NAA != "":
		err = errors.New("--serial and --wwn of its lunserve are for one disk")
	case len(o.Open.Backing) > 0:
		err = errors.New("--backing of its lunserve is for one disk")
	case s.guard != nil && s.guard.IsBlind():
		err = errors.New("the guard was started by a confined process, and could not open the image after a kill")
	default:
		return nil
	}
	return fmt.Errorf("%s: cannot be added: %w; serve it by a lunserve of its own", i.Path, err)
}

// make makes one more disk, as a start does. It has down undo that.
func (s *service) make(ctx context.Context, of given, key string, down *configfs.Undo) (*disk, error) {
	img, err := s.openImage(ctx, of, down)
	if err == nil {
		err = s.options.canRestart(img)
	}
	if err != nil {
		return nil, err
	}
	d := newDisk(of, img, key, down, s.imageErrs)
	s.tracer.follow(d)
	growHeap(s.options.caches())
	if err := s.attach(ctx, d); err != nil {
		return nil, err
	}
	defer down.Push(d.quiesce)
	s.usesLUN(d.lun)
	for _, f := range s.fabrics {
		if err := d.connect(ctx, f); err != nil {
			return nil, errors.Join(err, pendingOf(d, s.ringErrs))
		}
	}
	d.started = time.Now()
	return d, s.startFaultsOf(d, s.rules)
}
