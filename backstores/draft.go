package backstores

import (
	"crypto/rand"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A draft is a new file that others do not see: it has no name, or a hidden
// one where the file system cannot make a file without. However the process
// ends, a file without a name goes with it.
type draft struct {
	fd   int
	name string // hidden; empty if there is none
}

// newDraft makes an empty file in dir, with the permissions of a new file or,
// if it is private, for nobody else.
func newDraft(dir string, private bool) (draft, error) {
	mode := uint32(0o666)
	if private {
		mode = 0o600
	}
	fd, err := openMode(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode)
	switch err {
	case nil:
		return draft{fd: fd}, nil
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL:
		name := filepath.Join(dir, ".lunserve-"+rand.Text())
		if fd, err = openMode(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, mode); err == nil {
			return draft{fd, name}, nil
		}
	}
	return draft{}, fmt.Errorf("%s: make a file: %w", dir, err)
}

func openMode(path string, flags int, mode uint32) (int, error) {
	for {
		if fd, err := unix.Open(path, flags, mode); err != unix.EINTR {
			return fd, err
		}
	}
}

// publish gives the draft its name, at which there must be nothing, and returns
// when a power cut cannot take it away again. What is in the file is synced by
// then too.
func (d *draft) publish(path string) error {
	err := unix.Fsync(d.fd)
	if err == nil && d.name == "" {
		// Another way, AT_EMPTY_PATH, is for processes with more rights.
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", d.fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	} else if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, d.name, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	d.name = ""
	return syncDir(filepath.Dir(path))
}

// forget removes the hidden name. The file stays open.
func (d *draft) forget() {
	if d.name != "" {
		unix.Unlink(d.name)
		d.name = ""
	}
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	fd, err := openMode(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil && err != unix.EINVAL { // what some file systems say that have nothing to do
		return fmt.Errorf("%s: sync: %w", dir, err)
	}
	return nil
}
