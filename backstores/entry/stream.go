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
	fd, st, err := lookUp(path)
	if fd < 0 || err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return openStream(path, fd, st)
}

// openStream opens for writing what lookUp has found.
func openStream(path string, fd int, st *unix.Stat_t) (*os.File, error) {
	var again int
	var err error
	if std := standard(st); std > 0 {
		again, err = unix.FcntlInt(uintptr(std), unix.F_DUPFD_CLOEXEC, 0)
	} else {
		// A FIFO that is also open for reading does not wait for a reader.
		again, err = reopen(fd, unix.O_RDWR)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return os.NewFile(uintptr(again), path), nil
}

// lookUp opens what is at path with O_PATH, which opens no device, and returns its
// status. fd is -1 if that is no stream.
func lookUp(path string) (fd int, _ *unix.Stat_t, err error) {
	e, err := At(path)
	if err != nil {
		return -1, nil, err
	}
	defer e.Close()
	st, err := e.Stat()
	if errors.Is(err, unix.ENOENT) {
		return -1, nil, nil
	}
	if err != nil {
		return -1, nil, err
	}
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if link && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return -1, nil, fmt.Errorf("%s: is a symbolic link of another user", path)
	}
	if fd, err = openat(e.folder, e.name, unix.O_PATH, 0); err != nil { // follows the link
		return -1, nil, fmt.Errorf("%s: %w", path, err)
	}
	if err = e.is(IDOf(st)); err == nil {
		err = unix.Fstat(fd, st)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, fmt.Errorf("%s: %w", path, err)
	}
	kind := st.Mode & unix.S_IFMT
	switch {
	case standard(st) > 0 || kind == unix.S_IFIFO || kind == unix.S_IFCHR:
		return fd, st, nil
	case kind != unix.S_IFREG:
		err = fmt.Errorf("%s: is neither a file nor a stream", path)
	case link:
		err = fmt.Errorf("%s: is a symbolic link to a file; name the file itself", path)
	}
	unix.Close(fd)
	return -1, nil, err
}

// standard returns 1 or 2 if a file with this status is the standard output or the
// standard error of this process, else 0.
func standard(st *unix.Stat_t) int {
	for std := 1; std <= 2; std++ {
		if id, err := Of(std); err == nil && id == IDOf(st) {
			return std
		}
	}
	return 0
}

// reopen opens a file again that is open with O_PATH.
func reopen(fd, flags int) (int, error) {
	return openat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", fd), flags|unix.O_NOCTTY, 0)
}
