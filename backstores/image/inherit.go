package image

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// A process may execute another program, which goes on with its images, or get the
// images of another process. It inherits the open files, and with them the locks. Paths
// may lead to other files by then, so they only name the images. Nothing is opened again,
// which a confined process could not do. Nothing is flushed, which might take long: what was
// written is in the files, as it is after a kill.

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
	file, err := secondHandle(f.Fd(), "the image")
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
	o, err := inheritOverlay("the overlay", fd, true)
	if err != nil {
		return err
	}
	return o.file.Close()
}

// secondHandle returns a second handle for the file that is open as fd.
func secondHandle(fd int, path string) (*os.File, error) {
	fd, err := duplicate(fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), hint.Visible(path)), nil
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
// whatever it looks like by now. The descriptor becomes the image's; after an error it is
// closed.
func Inherit(path string, fd int, size int64, o Options) (backstores.Backstore, error) {
	s, err := raw.Inherit(path, fd, size, o.ReadOnly)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	device := s.(interface{ IsDevice() bool }).IsDevice()
	f, err := secondHandle(fd, path)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	defer f.Close()
	d, err := detectOpen(path, f, device, o.Format)
	if err != nil || d.format != Raw && d.format != Sparse {
		if d, err = detectOpen(path, f, device, Raw); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return guess(s, path, d, o), nil
}

// InheritOverlay is [OpenOverlay] for an overlay that is open as fd, over an image
// from Inherit. The descriptor becomes the overlay's; after an error it is closed.
func InheritOverlay(path string, fd int, base backstores.Backstore, readOnly bool) (s backstores.Backstore, kept int64, err error) {
	o, err := inheritOverlay(path, fd, readOnly)
	if err != nil {
		return nil, 0, err
	}
	f, err := secondHandle(rawFile(base).Fd(), path)
	if err == nil {
		defer f.Close()
		err = o.attach(base, f, path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, o.file.Close())
	}
	return o.store(readOnly), o.Kept(), nil
}

// inheritOverlay returns an overlay without its base. After an error the descriptor is
// closed.
func inheritOverlay(path string, fd int, readOnly bool) (*openOverlay, error) {
	file, err := raw.Inherit(path, fd, 0, false)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return loadOverlayFile(file.(*raw.Writable), path, readOnly)
}
