package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// A cacheDir is a folder that keeps blocks of images. What it holds becomes the
// contents of disks, so it is used only if nobody else can have written it.
//
// Each version of an image has two files there, see [diskCache]. A process that uses
// them has a shared lock on the first, and removes them under an exclusive one.
type cacheDir struct {
	root  *os.Root
	limit int64
}

const (
	dataEnd  = ".data"
	indexEnd = ".index"
)

// openCacheDir opens a folder, which it makes if it does not exist.
func openCacheDir(dir string, limit int64) (*cacheDir, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	link, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	st, err := root.Stat(".")
	switch {
	case err != nil:
	case !os.SameFile(link, st):
		err = fmt.Errorf("%s: is a symbolic link; name the folder itself", dir)
	case !ours(st):
		err = hint.With(fmt.Errorf("%s: belongs to another user, or others may write it, so it is not trusted", dir),
			hint.Command{Words: []string{"--cache-dir", hint.Path(hint.Free(filepath.Clean(dir) + "-lunserve"))}, Purpose: "to make one"})
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return &cacheDir{root, limit}, nil
}

// ours reports whether only this user can have written a file.
func ours(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid() && st.Mode()&0o022 == 0
}

// short returns a name for a file.
func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:10])
}

// has reports whether there is a version of an image.
func (c *cacheDir) has(identity string) bool {
	all, _ := c.list()
	return slices.ContainsFunc(all, func(e kept) bool { return strings.HasPrefix(e.name, short(identity)+"-") })
}

// open returns the cache of a version of an image.
func (c *cacheDir) open(identity, id string) (*diskCache, error) {
	d := &diskCache{dir: c}
	base := short(identity) + "-" + short(id)
	var err error
	if d.data, err = c.locked(base + dataEnd); err != nil {
		return nil, err
	}
	if d.index, err = c.file(base + indexEnd); err != nil {
		return nil, errors.Join(err, d.data.Close())
	}
	if err = unix.Futimes(int(d.index.Fd()), nil); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.index.Name(), err), d.data.Close(), d.index.Close())
	}
	d.makeRoom()
	return d, nil
}

// locked opens a file of ours with a shared lock. Another process may remove it just
// before it is locked; then it is made again.
func (c *cacheDir) locked(name string) (*os.File, error) {
	for {
		f, err := c.file(name)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), f.Close())
		}
		if c.leadsTo(name, f) {
			return f, nil
		}
		f.Close()
	}
}

// leadsTo reports whether name leads to an open file.
func (c *cacheDir) leadsTo(name string, f *os.File) bool {
	is, err := f.Stat()
	at, err2 := c.root.Lstat(name)
	return err == nil && err2 == nil && os.SameFile(is, at)
}

// file opens a file of ours, which it makes if it does not exist.
func (c *cacheDir) file(name string) (*os.File, error) {
	f, err := c.root.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && (!st.Mode().IsRegular() || !ours(st)) {
		err = fmt.Errorf("%s: is not a file that only this user can have written", f.Name())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// A kept version of an image.
type kept struct {
	name  string // of its two files, without their ends
	bytes int64  // on disk
	used  int64  // when it was last opened, in ns since 1970
}

// list returns what the folder keeps, the least recently opened first.
func (c *cacheDir) list() ([]kept, error) {
	dir, err := c.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	bases := make(map[string]bool)
	for _, name := range names { // one of the two may be missing
		for _, end := range []string{indexEnd, dataEnd} {
			if base, ok := strings.CutSuffix(name, end); ok {
				bases[base] = true
			}
		}
	}
	var all []kept
	for base := range bases {
		k := kept{name: base}
		for _, end := range []string{indexEnd, dataEnd} {
			if st, err := c.root.Lstat(base + end); err == nil && st.Mode().IsRegular() {
				k.bytes += st.Sys().(*syscall.Stat_t).Blocks * 512
				if end == indexEnd || k.used == 0 {
					k.used = st.ModTime().UnixNano()
				}
			}
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b kept) int { return int(min(max(a.used-b.used, -1), 1)) })
	return all, err
}

// room returns how many bytes may be added. It removes what nobody uses if there
// is too much.
func (c *cacheDir) room() int64 {
	all, _ := c.list()
	left := c.limit
	for _, k := range all {
		left -= k.bytes
	}
	for _, k := range all {
		if left < c.limit/16 && c.remove(k) {
			left += k.bytes
		}
	}
	return left
}

// remove removes a version of an image unless a process uses it. If it has no data,
// they are made, to be locked. They go first: an index without them is small, and says
// nothing of data that are written later, since a checksum must match.
func (c *cacheDir) remove(k kept) bool {
	f, err := c.file(k.name + dataEnd)
	if err != nil {
		return false
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !c.leadsTo(k.name+dataEnd, f) {
		return false
	}
	for _, end := range []string{dataEnd, indexEnd} {
		if err := c.root.Remove(k.name + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}
