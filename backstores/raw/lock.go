package raw

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/hint"
)

// The locks are QEMU's, so that an image is not served while a virtual machine
// uses it, nor used while it is served. Each permission is represented by two
// bytes of the file. A process that uses the permission locks the one byte
// (used+i), a process that does not share it the other (unshared+i), both
// shared. Each process takes its own locks first and then looks for conflicting
// locks of others. If two start at the same time, both may fail, but never do
// both succeed. The locks belong to the open file description (OFD), so they
// end with the process, however it ends.
const (
	used     = 100
	unshared = 200

	read           = 0 // consistent read
	write          = 1
	writeUnchanged = 2
	resize         = 3
)

// A lockSet is the permissions that an open file uses, and those that it does
// not share.
type lockSet struct{ uses, unshared []int64 }

// Both share reading, as QEMU does, so that a guest's disk can be looked at.
// Our readers do not share writing.
var (
	reader = lockSet{uses: []int64{read}, unshared: []int64{write, resize}}
	writer = lockSet{uses: []int64{read, write, resize}, unshared: []int64{write, resize}}
)

// lock takes the locks of a reader or writer on an open file. If a file system
// has no locks (some network file systems), lock succeeds: no other process can
// lock there either, and the image would be useless.
func lock(path string, fd int, st *unix.Stat_t, writable bool) error {
	if writable {
		return writer.lock(path, fd, st, true)
	}
	return reader.lock(path, fd, st, false)
}

// lock takes the locks of s. If orRead is set, the error has a hint to open
// the image read-only if that is possible.
func (s lockSet) lock(path string, fd int, st *unix.Stat_t, orRead bool) error {
	at, err := s.take(fd)
	if err == nil {
		if at, err = s.conflict(fd); err == nil && at >= 0 {
			return lockedError(path, fd, st, at, orRead)
		}
	}
	switch err {
	case nil, unix.ENOLCK, unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL:
		return nil
	case unix.EAGAIN, unix.EACCES:
		// A process that does not follow the protocol has locked the file, or
		// these bytes, exclusively.
		return lockedError(path, fd, st, at, orRead)
	}
	return fmt.Errorf("%s: lock: %w", path, err)
}

// downgrade reduces a writer's locks on an open file to a reader's. If a byte
// cannot be unlocked, it was not locked either.
func downgrade(fd int) {
	for _, i := range []int64{write, resize} {
		l := unix.Flock_t{Type: unix.F_UNLCK, Start: used + i, Len: 1}
		unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
	}
}

// take takes the locks. If it fails it returns the byte that is locked.
func (s lockSet) take(fd int) (int64, error) {
	for _, at := range s.bytes(used, unshared) {
		l := unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1}
		if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l); err != nil {
			return at, err
		}
	}
	return -1, nil
}

// conflict returns a byte that another open file has locked and that conflicts
// with s, or -1.
func (s lockSet) conflict(fd int) (int64, error) {
	for _, at := range s.bytes(unshared, used) {
		if taken, err := isLocked(fd, at); taken || err != nil {
			return at, err
		}
	}
	return -1, nil
}

// bytes returns the bytes of the permissions that s uses, counted from one
// base, and of those that it does not share, counted from another.
func (s lockSet) bytes(uses, unshared int64) []int64 {
	var all []int64
	for _, i := range s.uses {
		all = append(all, uses+i)
	}
	for _, i := range s.unshared {
		all = append(all, unshared+i)
	}
	return all
}

// isLocked reports whether another open file has a lock on the byte at.
func isLocked(fd int, at int64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l)
	return l.Type != unix.F_UNLCK, err
}

// lockedError returns the error of an image whose byte at is locked.
func lockedError(path string, fd int, st *unix.Stat_t, at int64, orRead bool) error {
	if orRead { // only if we could open it
		at, err := reader.conflict(fd)
		orRead = err == nil && at < 0
	}
	p, ok := inuse.LockHolder(st, at, fd)
	err := fmt.Errorf("%s: %w %s", path, backstores.ErrLocked, p)
	switch {
	case ok && p.PID == inuse.Self():
		return fmt.Errorf("%s: already open in this process; give each image once", path)
	case !ok:
		err = fmt.Errorf("%s: %w another process", path, backstores.ErrLocked)
	}
	switch {
	case orRead:
		return tryReadOnly(err)
	case !ok:
		return hint.Try(err, "lsof", hint.Path(path))
	}
	return err
}
