package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mayWriteBoth says why somebody who may write the overlay may not write the base,
// or returns an empty string. Nobody is such a one if
//
//   - the overlay belongs to root, to the owner of the base, or to the user of this
//     process, who can do no more than he may,
//   - others may not write it, and
//   - its group may not write it either, or is the group of the base, may write that,
//     and can reach it wherever it can reach the overlay.
//
// Where a file has an access control list, the mode does not say what the group may.
func mayWriteBoth(overlay, base int) (why string, err error) {
	o, err := accessOf(overlay)
	if err != nil {
		return "", err
	}
	b, err := accessOf(base)
	if err != nil {
		return "", err
	}
	const group, others = 0o020, 0o002
	switch {
	case o.Uid != 0 && o.Uid != b.Uid && int(o.Uid) != os.Geteuid():
		return "the overlay belongs to another user than the base", nil
	case o.Mode&others != 0:
		return "every user may write the overlay", nil
	case o.Mode&group == 0:
		return "", nil
	case o.listed || b.listed:
		return "access control lists say who may write them", nil
	case o.Gid != b.Gid || b.Mode&group == 0:
		return "the group of the overlay may write that and not the base", nil
	case !b.reachableBy(o):
		return "the group of the overlay may write that and cannot reach the base", nil
	}
	return "", nil
}

// An access says who may do what with a file.
type access struct {
	unix.Stat_t
	path   string // without symbolic links
	listed bool   // has an access control list
}

// accessOf returns the access to an open file.
func accessOf(fd int) (a access, err error) {
	link := fmt.Sprint("/proc/self/fd/", fd)
	if a.path, err = os.Readlink(link); err != nil {
		return a, err
	}
	return a, a.read(link)
}

func (a *access) read(path string) error {
	if err := unix.Stat(path, &a.Stat_t); err != nil {
		return err
	}
	n, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	a.listed = err == nil && n > 0
	return nil
}

// reachableBy reports whether each member of its group who can reach the overlay o can
// reach b. Folders that lead to both need no look.
func (b *access) reachableBy(o access) bool {
	for dir := filepath.Dir(b.path); !strings.HasPrefix(o.path, strings.TrimSuffix(dir, "/")+"/"); dir = filepath.Dir(dir) {
		var d access
		if d.read(dir) != nil || d.listed || d.Mode&0o010 == 0 || d.Gid != o.Gid && d.Mode&0o001 == 0 {
			return false
		}
	}
	return true
}
