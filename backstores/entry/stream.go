package entry

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Stream opens what is at path for writing if that is a stream: a FIFO, a
// character device such as /dev/null, or by any name the standard output or
// standard error of this process. It returns nil if path is that of a regular
// file or of nothing: such a file is made by [Entry.New].
//
// The name may be a symbolic link, such as /dev/stderr, if that belongs to root
// or to the user of this process. It is never followed to a file that would be
// truncated or replaced.
func Stream(path string) (*os.File, error) {
	e, err := At(path)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	st, err := e.Stat()
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if link && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s: is a symbolic link of another user", path)
	}
	fd, err := openat(e.folder, e.name, unix.O_PATH, 0) // opens no device, and follows the link
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := e.is(IDOf(st)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := unix.Fstat(fd, st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for std := 1; std <= 2; std++ {
		if id, err := Of(std); err == nil && id == IDOf(st) {
			again, err := unix.FcntlInt(uintptr(std), unix.F_DUPFD_CLOEXEC, 0)
			return newStream(again, path, err)
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if link {
			return nil, fmt.Errorf("%s: is a symbolic link to a file; name the file itself", path)
		}
		return nil, nil
	case unix.S_IFIFO, unix.S_IFCHR:
		// A FIFO that is also open for reading does not wait for a reader.
		again, err := openat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", fd), unix.O_RDWR|unix.O_NOCTTY, 0)
		return newStream(again, path, err)
	}
	return nil, fmt.Errorf("%s: is neither a file nor a stream", path)
}

func newStream(fd int, path string, err error) (*os.File, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
