package backstores

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The locks are QEMU's, so that an image is not served while a virtual machine
// has it, nor the other way round. Each thing one may do to an image has two
// bytes far enough from its start. Whoever does it holds a shared lock on the
// one (used+i), whoever cannot bear others doing it on the other (refused+i).
// Each takes its own locks first, and then looks for others' that conflict, so
// that of two who come at once both may be refused, but never both admitted. The
// locks are of the open file (OFD): they end with it, however the process ends.
const (
	used    = 100
	refused = 200

	read   = 0 // and rely on what was read
	write  = 1
	same   = 2 // write what is there already
	resize = 3
)

type claim struct{ uses, refuses []int64 }

// Either admits readers: the rule that lets a guest's disk be looked at is
// QEMU's too. But a reader of ours refuses a writer.
var (
	reader = claim{uses: []int64{read}, refuses: []int64{write, resize}}
	writer = claim{uses: []int64{read, write, resize}, refuses: []int64{write, resize}}
)

// lock takes the locks of a reader or writer on an open file.
//
// A file system that cannot lock at all (some network ones) is served without:
// nobody else could lock there either, and the image would otherwise be of no
// use.
func lock(path string, fd int, st *unix.Stat_t, writable bool) error {
	if writable {
		return writer.lock(path, fd, st, true)
	}
	return reader.lock(path, fd, st, false)
}

// lock takes the locks of c. If orRead, the error says so where the image could
// be opened for reading.
func (c claim) lock(path string, fd int, st *unix.Stat_t, orRead bool) error {
	at, err := c.take(fd)
	if err == nil {
		if at, err = c.conflict(fd); err == nil && at >= 0 {
			return locked(path, fd, st, at, orRead)
		}
	}
	switch err {
	case nil, unix.ENOLCK, unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL:
		return nil
	case unix.EAGAIN, unix.EACCES:
		// Somebody who does not follow the protocol has the file, or these
		// bytes, for himself.
		return locked(path, fd, st, at, orRead)
	}
	return fmt.Errorf("%s: lock: %w", path, err)
}

// onlyRead leaves of a writer's locks on an open file those of a reader. What
// cannot be unlocked was not locked either.
func onlyRead(fd int) {
	for _, i := range []int64{write, resize} {
		l := unix.Flock_t{Type: unix.F_UNLCK, Start: used + i, Len: 1}
		unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
	}
}

// take returns the byte whose lock it did not get, if there is an error.
func (c claim) take(fd int) (int64, error) {
	for _, at := range c.bytes(used, refused) {
		l := unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1}
		if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l); err != nil {
			return at, err
		}
	}
	return -1, nil
}

// conflict returns the byte that another holds and c cannot bear, or -1.
func (c claim) conflict(fd int) (int64, error) {
	for _, at := range c.bytes(refused, used) {
		if taken, err := isLocked(fd, at); taken || err != nil {
			return at, err
		}
	}
	return -1, nil
}

// bytes are those of what c uses, above one base, and of what it refuses,
// above another.
func (c claim) bytes(uses, refuses int64) []int64 {
	var all []int64
	for _, i := range c.uses {
		all = append(all, uses+i)
	}
	for _, i := range c.refuses {
		all = append(all, refuses+i)
	}
	return all
}

// isLocked tells whether another open file has a lock on the byte at.
func isLocked(fd int, at int64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l)
	return l.Type != unix.F_UNLCK, err
}

// locked is the error of an image of which another has locked the byte at.
func locked(path string, fd int, st *unix.Stat_t, at int64, orRead bool) error {
	hint := ""
	if orRead {
		// We could read if nobody else writes or refuses readers.
		if at, err := reader.conflict(fd); err == nil && at < 0 {
			hint = "; try lunserve -r " + quote(path)
		}
	}
	h, ok := findHolder(st, fd, at)
	switch {
	case !ok && hint == "":
		return fmt.Errorf("%s: locked by another process; try lsof %s", path, quote(path))
	case !ok:
		return fmt.Errorf("%s: locked by another process%s", path, hint)
	case h.pid == os.Getpid():
		return fmt.Errorf("%s: open here already; give each image once", path)
	}
	return fmt.Errorf("%s: locked by %s%s", path, h, hint)
}
