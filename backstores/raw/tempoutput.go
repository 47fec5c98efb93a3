package raw

import (
	"crypto/rand"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A tempOutput is a new file that other processes do not see. It has no name or,
// on a file system that cannot create a file without one, a hidden name. A file
// without a name is gone when the process ends, however it ends.
type tempOutput struct {
	fd   int
	name string // hidden; empty if there is none
}

// private is the mode of a file that only its owner may use.
const private = 0o600

// newTempOutput creates an empty file in dir, with mode less the umask.
func newTempOutput(dir string, mode uint32) (tempOutput, error) {
	fd, err := openMode(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode)
	switch err {
	case nil:
		return tempOutput{fd: fd}, nil
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL:
		name := hiddenName(dir)
		if fd, err = openMode(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, mode); err == nil {
			return tempOutput{fd, name}, nil
		}
	}
	return tempOutput{}, fmt.Errorf("%s: make a file: %w", dir, err)
}

// modeOf returns the mode for a file that is made from these images. It grants
// nothing that one of them does not.
func modeOf(images ...string) uint32 {
	mode := uint32(0o666)
	for _, path := range images {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil { // an image without a mode cannot be opened either
			mode &= st.Mode
		}
	}
	return mode | private
}

// takeOwnership gives the file, which is private, the owner and mode of the
// file that it replaces. If we may not set the group, its members get the
// permissions of others.
func (t *tempOutput) takeOwnership(st *unix.Stat_t) {
	mode := st.Mode & 0o777
	unix.Fchown(t.fd, int(st.Uid), -1)
	if unix.Fchown(t.fd, -1, int(st.Gid)) != nil {
		mode = mode&^0o070 | mode&0o007<<3
	}
	unix.Fchmod(t.fd, mode)
}

func hiddenName(dir string) string { return filepath.Join(dir, ".lunserve-"+rand.Text()) }

// openMode opens a file, however often a signal interrupts that.
func openMode(path string, flags int, mode uint32) (int, error) {
	for {
		if fd, err := unix.Open(path, flags, mode); err != unix.EINTR {
			return fd, err
		}
	}
}

// publish syncs the file and gives it its name. When it returns, a power cut
// does not remove the name. If path exists, publish replaces it or fails.
func (t *tempOutput) publish(path string, replace bool) error {
	err := fsync(t.fd)
	switch {
	case err != nil:
	case replace:
		err = t.replace(path)
	case t.name == "":
		err = t.link(path)
	default:
		err = renameNew(t.name, path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t.name = ""
	return SyncDir(filepath.Dir(path))
}

// replace takes over a name. Only rename can do that, so the file needs a name.
func (t *tempOutput) replace(path string) error {
	if t.name == "" {
		hidden := hiddenName(filepath.Dir(path))
		if err := t.link(hidden); err != nil {
			return err
		}
		t.name = hidden
	}
	return unix.Rename(t.name, path)
}

// link gives a name to a file without one. AT_EMPTY_PATH would need
// CAP_DAC_READ_SEARCH.
func (t *tempOutput) link(path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprint("/proc/self/fd/", t.fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// The calls that some file systems lack. Tests replace them.
var (
	renameat2 = unix.Renameat2
	link      = unix.Link
)

// renameNew renames a file to a name that must not exist. NFS, 9p, CephFS and
// most of FUSE lack RENAME_NOREPLACE, so it tries a hard link next, which does
// not replace a file either. On a file system without links it checks first,
// and replaces a file that is created in between.
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
func (t *tempOutput) forget() {
	if t.name != "" {
		unix.Unlink(t.name)
		t.name = ""
	}
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	fd, err := openMode(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := fsync(fd); err != nil && err != unix.EINVAL { // EINVAL: the file system has nothing to sync
		return fmt.Errorf("%s: sync: %w", dir, err)
	}
	return nil
}
