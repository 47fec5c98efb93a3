package entry

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A File is a new file that other processes do not see until it is published. It
// has no name or, on a file system that cannot create a file without one, a
// hidden name. A file without a name is gone when the process ends, however it
// ends. One with a hidden name that a killed process left is removed by the next.
type File struct {
	Fd     int // the caller closes it
	entry  *Entry
	hidden string // name, or empty
}

// New creates an empty file, with mode less the umask, that Publish will give
// the name of e.
func (e *Entry) New(mode uint32) (*File, error) {
	fd, err := openat(e.folder, ".", unix.O_TMPFILE|unix.O_RDWR, mode)
	hidden := ""
	switch err {
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL:
		fd, hidden, err = e.hide(mode)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: make a file: %w", filepath.Dir(e.path), err)
	}
	return &File{fd, e, hidden}, nil
}

// Temporary creates a file in dir that never gets a name, for the user alone.
func Temporary(dir string) (fd int, err error) {
	folder, err := openFolder(unix.AT_FDCWD, dir)
	if err != nil {
		return -1, err
	}
	e := &Entry{path: dir + "/", folder: folder}
	defer e.Close()
	f, err := e.New(0o600)
	if err != nil {
		return -1, err
	}
	f.Unname()
	return f.Fd, nil
}

// Publish syncs the file and gives it its name. When it returns, a power cut
// does not remove the name. If old is the descriptor of an open file, Publish
// replaces that file, and fails if the name has become that of another one. If
// old is -1, it fails if the name exists.
func (f *File) Publish(old int) error {
	err := retry(func() error { return unix.Fsync(f.Fd) })
	if err == nil && old >= 0 {
		err = f.replace(old)
	} else if err == nil {
		err = f.place()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.entry.path, err)
	}
	if f.hidden != "" {
		_ = unix.Flock(f.Fd, unix.LOCK_UN)
	}
	f.hidden = ""
	return f.entry.Sync()
}

// place takes a name that must not exist.
func (f *File) place() error {
	if f.hidden == "" {
		return f.link(f.entry.name)
	}
	return renameNew(f.entry.folder, f.hidden, f.entry.name)
}

// replace takes over a name. Only rename can do that, so the file needs a name.
func (f *File) replace(old int) error {
	id, err := Of(old)
	if err != nil {
		return err
	}
	switch err := f.entry.is(id); err {
	case nil:
	case unix.ENOENT:
		return f.place()
	default:
		return err
	}
	if f.hidden == "" {
		name := hiddenName()
		if err := f.link(name); err != nil {
			return err
		}
		f.hidden = name
	}
	return unix.Renameat(f.entry.folder, f.hidden, f.entry.folder, f.entry.name)
}

// link gives a name to a file without one. AT_EMPTY_PATH would need
// CAP_DAC_READ_SEARCH.
func (f *File) link(name string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", f.Fd), f.entry.folder, name, unix.AT_SYMLINK_FOLLOW)
}

// The calls that some file systems lack. Tests replace them.
var (
	renameat2 = unix.Renameat2
	linkat    = unix.Linkat
)

// renameNew renames a file to a name that must not exist. NFS, 9p, CephFS and
// most of FUSE lack RENAME_NOREPLACE, so it tries a hard link next, which does
// not replace a file either. On a file system without links it checks first,
// and replaces a file that is created in between.
func renameNew(folder int, from, to string) error {
	switch err := renameat2(folder, from, folder, to, unix.RENAME_NOREPLACE); err {
	case unix.EINVAL, unix.ENOSYS:
	default:
		return err
	}
	switch err := linkat(folder, from, folder, to, 0); err {
	case unix.EPERM, unix.EOPNOTSUPP, unix.EMLINK, unix.ENOSYS:
	case nil:
		return unix.Unlinkat(folder, from, 0)
	default:
		return err
	}
	switch err := unix.Fstatat(folder, to, new(unix.Stat_t), unix.AT_SYMLINK_NOFOLLOW); err {
	case unix.ENOENT:
		return unix.Renameat(folder, from, folder, to)
	case nil:
		return unix.EEXIST
	default:
		return err
	}
}

// Unname removes the hidden name of a file that is not to be published. The
// file stays open.
func (f *File) Unname() {
	if f.hidden == "" {
		return
	}
	hidden := Entry{name: f.hidden, folder: f.entry.folder}
	if id, err := Of(f.Fd); err == nil && hidden.is(id) == nil {
		unix.Unlinkat(hidden.folder, hidden.name, 0)
	}
	f.hidden = ""
}
