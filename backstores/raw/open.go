package raw

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
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
func Open(ctx context.Context, path string, o Options) (_ backstores.Backstore, err error) {
	device, err := Look(path)
	create := errors.Is(err, unix.ENOENT) && o.Create > 0 && !o.ReadOnly
	if err != nil && !create {
		return nil, err
	}
	fd, err := openImage(path, device, create, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		unix.Close(fd)
		if create {
			unix.Unlink(path)
		}
	}()
	size, block, err := claim(path, fd, create, o)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if o.ReadOnly {
		r := new(File)
		r.open(path, fd, size, block)
		return r, nil
	}
	w := new(Writable)
	w.open(path, fd, size, block)
	return w, nil
}

// claim locks an open image, gives it its length if it was just created, and
// returns the size of the image and of its blocks.
func claim(path string, fd int, created bool, o Options) (size, block int64, err error) {
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
	if created { // after the lock: no other process opens an empty image
		if err := unix.Ftruncate(fd, o.Create); err != nil {
			return 0, 0, fmt.Errorf("%s: make a file of %d bytes: %w", path, o.Create, err)
		}
		if err := SyncDir(filepath.Dir(path)); err != nil {
			return 0, 0, err
		}
		st.Size = o.Create
	}
	size, block = st.Size, 1
	if isBlock(st.Mode) {
		if size, block, err = measureDevice(path, fd, o.ReadOnly); err != nil {
			return 0, 0, err
		}
	}
	return size, block, checkSize(path, size, st.Mode, o.Create)
}

// OpenReader opens path for reading and locks it against writers. The caller
// may read it in any format.
func OpenReader(path string) (*os.File, error) {
	fd, err := openImage(path, false, false, true)
	if err != nil {
		return nil, err
	}
	st, err := stat(path, fd)
	if err == nil {
		err = lock(path, fd, st, false)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenRegular opens and locks a regular file as it is, whatever its length. If
// it is opened read-only every write to the store fails.
func OpenRegular(path string, readOnly bool) (_ *Writable, err error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC | unix.O_NONBLOCK // does not wait for the other end of a pipe
	if readOnly {
		flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	}
	fd, err := openMode(path, flags, 0)
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
	if err := lock(path, fd, st, !readOnly); err != nil {
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

// openImage opens path, or creates it.
func openImage(path string, device, create, readOnly bool) (int, error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	switch {
	case readOnly:
		flags = unix.O_RDONLY | unix.O_CLOEXEC
	case create:
		flags |= unix.O_CREAT | unix.O_EXCL
	case device:
		flags |= unix.O_EXCL // fails if the kernel or another process uses the device
	}
	fd, err := openMode(path, flags, 0o666) // less the umask, like a file that a shell makes
	switch err {
	case nil:
		return fd, nil
	case unix.ENOENT:
		err := fmt.Errorf("%s: %w", path, err)
		if create {
			return -1, hint.Try(err, "mkdir", "-p", hint.Path(filepath.Dir(path)))
		}
		return -1, err
	case unix.EBUSY:
		return -1, busy(path, err)
	case unix.EACCES, unix.EPERM, unix.EROFS, unix.ETXTBSY:
		if readOnly {
			return -1, fmt.Errorf("%s: cannot be opened: %w", path, err)
		}
		readable := !create && unix.Access(path, unix.R_OK) == nil
		err := fmt.Errorf("%s: cannot be opened for writing: %w", path, err)
		if readable {
			return -1, tryReadOnly(err, path)
		}
		return -1, err
	}
	return -1, fmt.Errorf("%s: %w", path, err)
}

// tryReadOnly adds the command that serves the image read-only.
func tryReadOnly(err error, path string) error {
	return hint.Try(err, "lunserve", "-r", hint.Path(path))
}

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

// checkSize returns an error if the image is empty or, if want is above 0, has
// another size.
func checkSize(path string, size int64, mode uint32, want int64) error {
	switch {
	case size == 0 && isBlock(mode):
		return fmt.Errorf("%s: is empty, a device without a medium", path)
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
