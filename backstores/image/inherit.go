package image

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/raw"
)

// A process may execute another program, which goes on with its images. It
// inherits the open files, and with them the locks. Paths may lead to other files
// by then, so they only name the images. Nothing is flushed, which might take long:
// what was written is in the files, as it is after a kill.

// HandOver returns the descriptors that the next program needs for [Inherit] and,
// if top is an overlay over the image, for [InheritOverlay]; over is -1 without
// one. It returns an error if the next program could not go on with them.
//
// It looks at the files as Inherit and InheritOverlay do, and so waits if their storage
// hangs. The next program must not wait: it serves no disk yet.
func HandOver(base, top backstores.Backstore) (fd, over int, err error) {
	f := rawFile(base)
	if f == nil {
		if _, is := base.(scratch); is {
			return -1, -1, errors.New("it has no image")
		}
		return -1, -1, errors.New("its format is not raw")
	}
	if err := tryInherit(base); err != nil {
		return -1, -1, err
	}
	if top == base {
		return f.Fd(), -1, nil
	}
	o, ok := top.(overlay.Held)
	if !ok {
		return -1, -1, errors.New("its writes are temporary")
	}
	if err := tryInheritOverlay(o.Fd()); err != nil {
		return -1, -1, err
	}
	file, err := openAgain(selfPath(f.Fd()), base)
	if err != nil {
		return -1, -1, err
	}
	defer file.Close()
	return f.Fd(), o.Fd(), o.Fits(file)
}

// tryInherit does what [Inherit] will do with a raw image.
func tryInherit(base backstores.Backstore) error {
	fd, err := duplicate(rawFile(base).Fd())
	if err != nil {
		return err
	}
	_, writable := base.(io.WriterAt)
	s, err := Inherit("the image", fd, base.Size(), Options{ReadOnly: !writable})
	if err != nil {
		unix.Close(fd)
		return err
	}
	return s.Close() // not its locks
}

// tryInheritOverlay does what [InheritOverlay] will do with an overlay, but for putting
// it over its base.
func tryInheritOverlay(fd int) error {
	fd, err := duplicate(fd)
	if err != nil {
		return err
	}
	file, err := raw.Inherit("the overlay", fd, 0, false)
	if err != nil {
		unix.Close(fd)
		return err
	}
	o, err := loadOverlayFile(file.(*raw.Writable), "the overlay", true)
	if err != nil {
		return err
	}
	return o.file.Close()
}

// duplicate returns another descriptor of an open file.
func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

// Owes returns a failure that only this process knows of, and has to return from the
// next flush of top, or nil. What the kernel has still to report belongs to the open
// file: the next program gets it.
func Owes(top backstores.Backstore) error {
	if s, ok := top.(interface{ Owes() error }); ok {
		return s.Owes()
	}
	return nil
}

// Inherit is [Open] for a raw image of size bytes that is open as fd. It stays raw
// whatever it looks like by now.
func Inherit(path string, fd int, size int64, o Options) (backstores.Backstore, error) {
	s, err := raw.Inherit(path, fd, size, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	device := s.(interface{ IsDevice() bool }).IsDevice()
	d, err := detect(selfPath(fd), device, o.Format)
	if err != nil || d.format != Raw && d.format != Sparse {
		if d, err = detect(selfPath(fd), device, Raw); err != nil {
			s.Close()
			return nil, err
		}
	}
	return guess(s, path, d, o), nil
}

// InheritOverlay is [OpenOverlay] for an overlay that is open as fd, over an image
// from Inherit.
func InheritOverlay(path string, fd int, base backstores.Backstore, readOnly bool) (s backstores.Backstore, kept int64, err error) {
	file, err := raw.Inherit(path, fd, 0, false)
	if err != nil {
		return nil, 0, err
	}
	o, err := loadOverlayFile(file.(*raw.Writable), path, readOnly)
	if err != nil {
		return nil, 0, err
	}
	if err := o.layOver(base, selfPath(rawFile(base).Fd())); err != nil {
		o.file.Close()
		return nil, 0, err
	}
	return o.store(readOnly), o.Kept(), nil
}

// selfPath is the path of an open file, whatever its name.
func selfPath(fd int) string { return fmt.Sprint("/proc/self/fd/", fd) }
