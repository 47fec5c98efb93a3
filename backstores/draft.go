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

// private is the mode of a file for nobody else.
const private = 0o600

// newDraft makes an empty file in dir, with a mode less the umask.
func newDraft(dir string, mode uint32) (draft, error) {
	fd, err := openMode(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode)
	switch err {
	case nil:
		return draft{fd: fd}, nil
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL:
		name := hiddenName(dir)
		if fd, err = openMode(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, mode); err == nil {
			return draft{fd, name}, nil
		}
	}
	return draft{}, fmt.Errorf("%s: make a file: %w", dir, err)
}

// modeOf is the mode of what is made of these images: none gives others more.
func modeOf(images ...string) uint32 {
	mode := uint32(0o666)
	for _, path := range images {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil { // if not, it cannot be opened either
			mode &= st.Mode
		}
	}
	return mode | private
}

// succeed gives the draft, which is private, the owner and mode of the file
// that it is to replace. What is not ours to give it does without: it is for
// nobody whom that was not for.
func (d *draft) succeed(st *unix.Stat_t) {
	mode := st.Mode & 0o777
	unix.Fchown(d.fd, int(st.Uid), -1)
	if unix.Fchown(d.fd, -1, int(st.Gid)) != nil {
		mode = mode&^0o070 | mode&0o007<<3 // our group are others
	}
	unix.Fchmod(d.fd, mode)
}

func hiddenName(dir string) string { return filepath.Join(dir, ".lunserve-"+rand.Text()) }

func openMode(path string, flags int, mode uint32) (int, error) {
	for {
		if fd, err := unix.Open(path, flags, mode); err != unix.EINTR {
			return fd, err
		}
	}
}

// publish gives the draft its name, and returns when a power cut cannot take it
// away again. What is in the file is synced by then too. A file that is at path
// already is an error, or is replaced.
func (d *draft) publish(path string, replace bool) error {
	err := fsync(d.fd)
	switch {
	case err != nil:
	case replace:
		err = d.replace(path)
	case d.name == "":
		err = d.link(path)
	default:
		err = renameNew(d.name, path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	d.name = ""
	return syncDir(filepath.Dir(path))
}

// replace takes over a name, which cannot be done but by renaming a file that
// has one.
func (d *draft) replace(path string) error {
	if d.name == "" {
		hidden := hiddenName(filepath.Dir(path))
		if err := d.link(hidden); err != nil {
			return err
		}
		d.name = hidden
	}
	return unix.Rename(d.name, path)
}

// link gives a name to a file without. Another way, AT_EMPTY_PATH, is for
// processes with more rights.
func (d *draft) link(path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", d.fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// The calls that not all file systems have. Tests put in what others answer.
var (
	renameat2 = unix.Renameat2
	link      = unix.Link
)

// renameNew renames a file to a name that nobody has. NFS, 9p, CephFS and most
// of FUSE do not know RENAME_NOREPLACE. A link does not replace either. Where
// there are no links we look first, and replace a file that is made in between.
func renameNew(from, to string) error {
	switch err := renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err {
	case unix.EINVAL, unix.ENOSYS:
	default:
		return err
	}
	switch err := link(from, to); err {
	case unix.EPERM, unix.EOPNOTSUPP, unix.EMLINK, unix.ENOSYS:
	case nil:
		return unix.Unlink(from)
	default:
		return err
	}
	switch err := unix.Lstat(to, new(unix.Stat_t)); err {
	case unix.ENOENT:
		return unix.Rename(from, to)
	case nil:
		return unix.EEXIST
	default:
		return err
	}
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
	if err := fsync(fd); err != nil && err != unix.EINVAL { // what some file systems say that have nothing to do
		return fmt.Errorf("%s: sync: %w", dir, err)
	}
	return nil
}
