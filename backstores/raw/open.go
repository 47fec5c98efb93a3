package raw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/hint"
)

// Options say how to open an image.
type Options struct {
	// ReadOnly opens the image for reading, and shares it with other readers.
	ReadOnly bool

	// Create, if above 0, makes a sparse file of this many bytes if path does
	// not exist. An image that exists must have this size. A read-only image
	// is never created.
	Create int64
}

// Look reports whether path is a block device, without opening it: opening a
// pipe waits for its other end, and opening a character device may do anything.
// If path is neither a regular file nor a block device, Look returns an error.
func Look(path string) (device bool, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return isBlock(st.Mode), checkType(path, st.Mode)
}

// Open opens and locks the image at path, a regular file or a block device. The
// store is a [*File] if o.ReadOnly is set, else a [*Writable].
//
// If Open fails it removes the file that it created. It also fails if ctx is
// done by the time that storage has answered; it leaves no lock behind then.
func Open(ctx context.Context, path string, o Options) (backstores.Backstore, error) {
	device, err := Look(path)
	switch {
	case errors.Is(err, unix.ENOENT) && o.Create > 0 && !o.ReadOnly:
		return create(ctx, path, o)
	case err != nil:
		return nil, err
	}
	fd, err := openImage(path, device, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	size, block, err := claim(ctx, path, fd, o)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newStore(path, fd, size, block, o.ReadOnly), nil
}

func newStore(path string, fd int, size, block int64, readOnly bool) backstores.Backstore {
	if readOnly {
		r := new(File)
		r.open(path, fd, size, block)
		return r
	}
	w := new(Writable)
	w.open(path, fd, size, block)
	return w
}

// create makes a sparse file and opens it.
func create(ctx context.Context, path string, o Options) (backstores.Backstore, error) {
	if err := entry.Dangling(path); err != nil {
		return nil, err
	}
	e, err := entry.At(path)
	if errors.Is(err, unix.ENOENT) {
		return nil, hint.With(fmt.Errorf("%s: %w", path, unix.ENOENT),
			hint.Command{Words: []string{"mkdir", "-p", hint.Path(filepath.Dir(path))}, Purpose: "to make the folder"})
	}
	if err != nil {
		return nil, err
	}
	f, err := e.New(0o666) // less the umask, like a file that a shell makes
	if err != nil {
		e.Close()
		return nil, err
	}
	w := &Writable{created: e}
	w.open(path, f.Fd, o.Create, 1)
	if err = w.setUp(f, o); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		f.Unname()
		if left := w.Discard(); left != nil && !errors.Is(left, entry.ErrReplaced) {
			err = errors.Join(err, left)
		}
		w.Close()
		return nil, err
	}
	return w, nil
}

// setUp locks a new file, gives it its length, and then its name.
func (w *Writable) setUp(f *entry.File, o Options) error {
	st, err := stat(w.path, w.fd)
	if err != nil {
		return err
	}
	if err := lock(w.path, w.fd, st, true); err != nil {
		return err
	}
	if err := unix.Ftruncate(w.fd, o.Create); err != nil {
		return fmt.Errorf("%s: make a file of %d bytes: %w", w.path, o.Create, err)
	}
	return f.Publish(-1)
}

// claim locks an open image, and returns the size of the image and of its
// blocks.
func claim(ctx context.Context, path string, fd int, o Options) (size, block int64, err error) {
	// The path may have changed since Look.
	st, err := stat(path, fd)
	if err != nil {
		return 0, 0, err
	}
	if err := checkType(path, st.Mode); err != nil {
		return 0, 0, err
	}
	if err := lock(path, fd, st, !o.ReadOnly); err != nil {
		return 0, 0, err
	}
	size, block = st.Size, 1
	if isBlock(st.Mode) {
		if size, block, err = measureDevice(path, fd, o.ReadOnly); err != nil {
			return 0, 0, err
		}
	}
	if err := checkSize(path, size, st.Mode, o); err != nil {
		return 0, 0, err
	}
	return size, block, ctx.Err()
}

// Inherit returns the store of an image of size bytes, or of its present size if
// that is 0, which the program that this process executed before has opened and
// locked: the locks belong to the open file. The descriptor becomes the image's.
func Inherit(path string, fd int, size int64, readOnly bool) (backstores.Backstore, error) {
	st, err := stat(path, fd)
	if err == nil {
		err = checkType(path, st.Mode)
	}
	block := int64(1)
	if err == nil && isBlock(st.Mode) {
		_, block, err = measureDevice(path, fd, true)
	}
	if err != nil {
		return nil, err
	}
	return newStore(path, fd, cmp.Or(size, st.Size), block, readOnly), nil
}

// OpenRegular opens and locks a regular file as it is, whatever its length. If
// it is opened read-only every write to the store fails.
func OpenRegular(path string, readOnly bool) (_ *Writable, err error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_NONBLOCK // does not wait for the other end of a pipe
	if readOnly {
		flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	}
	fd, err := openRetry(path, flags)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	st, err := stat(path, fd)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	// The file is no image, so opening the image read-only does not help.
	locks := writer
	if readOnly {
		locks = reader
	}
	if err := locks.lock(path, fd, st, false); err != nil {
		return nil, err
	}
	w := new(Writable)
	w.open(path, fd, st.Size, 1)
	return w, nil
}

func stat(path string, fd int) (*unix.Stat_t, error) {
	st := new(unix.Stat_t)
	if err := unix.Fstat(fd, st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return st, nil
}

// openImage opens path.
func openImage(path string, device, readOnly bool) (int, error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	switch {
	case readOnly:
		flags = unix.O_RDONLY | unix.O_CLOEXEC
	case device:
		flags |= unix.O_EXCL // fails if the kernel or another process uses the device
	}
	fd, err := openRetry(path, flags)
	if err != nil {
		return -1, openError(path, err, readOnly)
	}
	return fd, nil
}

// openError returns the error of an image that cannot be opened.
func openError(path string, err error, readOnly bool) error {
	switch err {
	case unix.EBUSY:
		return busy(path, err)
	case unix.EACCES, unix.EPERM, unix.EROFS, unix.ETXTBSY:
		if readOnly {
			return fmt.Errorf("%s: cannot be opened: %w", path, err)
		}
		err := fmt.Errorf("%s: cannot be opened for writing: %w", path, err)
		if unix.Access(path, unix.R_OK) == nil {
			return tryReadOnly(err)
		}
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// openRetry opens a file, however often a signal interrupts that.
func openRetry(path string, flags int) (int, error) {
	for {
		if fd, err := unix.Open(path, flags, 0); err != unix.EINTR {
			return fd, err
		}
	}
}

// tryReadOnly adds the flag with which the command opens the image read-only.
func tryReadOnly(err error) error { return hint.Try(err, "--read-only") }

// checkType returns an error for anything but a regular file or block device.
func checkType(path string, mode uint32) error {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK:
		return nil
	case unix.S_IFDIR:
		return hint.With(fmt.Errorf("%s: is a directory, not an image", path),
			hint.Command{Words: []string{"ls", hint.Path(path)}, Purpose: "to find one"})
	case unix.S_IFIFO:
		return hint.With(fmt.Errorf("%s: is a pipe, which has no random access", path),
			hint.Command{Words: []string{"cat", hint.Path(path)}, Output: hint.Free("NEW.img")})
	case unix.S_IFCHR:
		return hint.With(fmt.Errorf("%s: is a character device, not an image", path),
			hint.Command{Words: []string{"lsblk"}, Purpose: "to find a block device"})
	}
	return fmt.Errorf("%s: is neither a file nor a block device", path)
}

// checkSize returns an error if the image is empty or, if o.Create is above 0,
// has another size. Only who would write to an empty file may want to fill it.
func checkSize(path string, size int64, mode uint32, o Options) error {
	want := o.Create
	switch {
	case size == 0 && isBlock(mode):
		return fmt.Errorf("%s: is empty, a device without a medium", path)
	case size == 0 && o.ReadOnly:
		return fmt.Errorf("%s: is empty", path)
	case size == 0 && want > 0:
		return hint.With(fmt.Errorf("%s: exists and is empty", path), fill(path, strconv.FormatInt(want, 10)))
	case size == 0:
		return hint.With(fmt.Errorf("%s: is empty", path), fill(path, "10G"))
	case want > 0 && size != want:
		return fmt.Errorf("%s: exists and has %d bytes, not %d; leave out --size to serve it as it is", path, size, want)
	}
	return nil
}

// fill is the command that fills an empty file with zeros. It never shortens a
// file that has been written in the meantime.
func fill(path, size string) hint.Command {
	return hint.Command{Words: []string{"truncate", "-s", ">" + size, hint.Path(path)}, Purpose: "to fill it with zeros"}
}

func isBlock(mode uint32) bool { return mode&unix.S_IFMT == unix.S_IFBLK }
