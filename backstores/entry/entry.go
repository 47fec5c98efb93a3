// Package entry makes, replaces and removes files by their names.
//
// lunserve runs as root, and others may write the folders in which it does so.
// A path that is passed to one system call after another may lead to another
// file each time. These rules prevent that:
//
//   - The folder of a name is opened once, and held. All that is done to the
//     name later is done in that folder, whatever its path leads to by then.
//   - A name that is made, replaced or removed is not followed if it is a
//     symbolic link.
//   - A file gets its name when it is complete, and another one is replaced by a
//     rename. No file is truncated.
//   - A name is replaced or removed only while it is that of the file that is
//     open, by device and inode.
//
// Every package that makes, replaces or removes files imports it; it imports no
// other package of lunserve. The exceptions are the trees of the kernel, and
// folders that only root or only the user may write.
package entry

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// An Entry is a name in a folder that is held open. A file may have the name or
// not. Close it.
type Entry struct {
	path   string // as given, for messages
	name   string // in the folder
	folder int    // descriptor, or -1
}

// ErrReplaced is the cause if a name has become that of another file.
var ErrReplaced = errors.New("is now the name of another file, which is kept")

// At returns the entry at path. Symbolic links on the way to its folder are
// followed.
func At(path string) (*Entry, error) { return at(unix.AT_FDCWD, path) }

// at is At for a path that is relative to a folder.
func at(folder int, path string) (*Entry, error) {
	dir, name := filepath.Split(path)
	if name == "" || name == "." || name == ".." {
		return nil, fmt.Errorf("%s: is not the name of a file", path)
	}
	if dir == "" {
		dir = "."
	}
	fd, err := openFolder(folder, dir)
	if err != nil {
		return nil, err
	}
	return &Entry{path, name, fd}, nil
}

func openFolder(folder int, dir string) (int, error) {
	fd, err := openat(folder, dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", filepath.Clean(dir), err)
	}
	return fd, nil
}

// Close closes the folder.
func (e *Entry) Close() {
	if e.folder >= 0 {
		unix.Close(e.folder)
		e.folder = -1
	}
}

// Stat returns the status of what has the name, which may be a symbolic link.
func (e *Entry) Stat() (*unix.Stat_t, error) {
	st := new(unix.Stat_t)
	if err := unix.Fstatat(e.folder, e.name, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, fmt.Errorf("%s: %w", e.path, err)
	}
	return st, nil
}

// Open opens the file that has the name. It fails for a symbolic link.
func (e *Entry) Open(flags int, mode uint32) (int, error) {
	return openat(e.folder, e.name, flags|unix.O_NOFOLLOW, mode)
}

// Remove removes the name, and makes that durable. It returns an error if the
// name is not that of the open file any more, and nil if nothing has the name.
func (e *Entry) Remove(open int) error {
	id, err := Of(open)
	if err != nil {
		return fmt.Errorf("%s: %w", e.path, err)
	}
	return e.RemoveID(id)
}

// RemoveID is Remove for something that cannot be open, such as a symbolic link.
//
// The kernel cannot compare and remove in one step. A program that changes the name
// in between may write the folder, and loses no more than a name in it.
func (e *Entry) RemoveID(id ID) error {
	switch err := e.is(id); err {
	case nil:
	case unix.ENOENT:
		return nil
	default:
		return fmt.Errorf("%s: %w", e.path, err)
	}
	if err := unix.Unlinkat(e.folder, e.name, 0); err != nil {
		return fmt.Errorf("%s: remove: %w", e.path, err)
	}
	return e.Sync()
}

// Sync makes the names in the folder durable.
func (e *Entry) Sync() error {
	err := retry(func() error { return unix.Fsync(e.folder) })
	if err != nil && err != unix.EINVAL { // EINVAL: the file system has nothing to sync
		return fmt.Errorf("%s: sync: %w", filepath.Dir(e.path), err)
	}
	return nil
}

// is returns nil if the name is that of the file.
func (e *Entry) is(id ID) error {
	var st unix.Stat_t
	if err := unix.Fstatat(e.folder, e.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if IDOf(&st) != id {
		return ErrReplaced
	}
	return nil
}

// An ID identifies a file, whatever its names, as long as it exists.
type ID struct{ Dev, Ino uint64 }

// IDOf returns the identity of the file with this status.
func IDOf(st *unix.Stat_t) ID { return ID{uint64(st.Dev), st.Ino} }

// Of returns the identity of an open file.
func Of(fd int) (ID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return ID{}, err
	}
	return IDOf(&st), nil
}

func openat(folder int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(folder, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// retry repeats a call until no signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
