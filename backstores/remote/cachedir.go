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
// Each version of an image has two files there, see [diskCache]. Whoever uses them
// has a shared lock on the first.
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

// has reports whether there is a version of the image of this name.
func (c *cacheDir) has(name string) bool {
	all, _ := c.list()
	return slices.ContainsFunc(all, func(e kept) bool { return strings.HasPrefix(e.name, short(name)+"-") })
}

// open returns the cache of a version of an image.
func (c *cacheDir) open(name, id string) (*diskCache, error) {
	d := &diskCache{dir: c}
	base := short(name) + "-" + short(id)
	var err error
	if d.data, err = c.file(base + dataEnd); err != nil {
		return nil, err
	}
	if d.index, err = c.file(base + indexEnd); err != nil {
		return nil, errors.Join(err, d.data.Close())
	}
	err = unix.Flock(int(d.data.Fd()), unix.LOCK_SH)
	if err == nil {
		err = unix.Futimes(int(d.index.Fd()), nil)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.data.Name(), err), d.data.Close(), d.index.Close())
	}
	d.makeRoom()
	return d, nil
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
	var all []kept
	for _, name := range names {
		base, ok := strings.CutSuffix(name, indexEnd)
		if !ok {
			continue
		}
		k := kept{name: base}
		for _, end := range []string{indexEnd, dataEnd} {
			if st, err := c.root.Lstat(base + end); err == nil && st.Mode().IsRegular() {
				k.bytes += st.Sys().(*syscall.Stat_t).Blocks * 512
				if end == indexEnd {
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

// remove removes a version of an image unless a process uses it.
func (c *cacheDir) remove(k kept) bool {
	f, err := c.root.OpenFile(k.name+dataEnd, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == nil {
		defer f.Close()
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			return false
		}
	}
	return errors.Join(c.root.Remove(k.name+indexEnd), c.root.Remove(k.name+dataEnd)) == nil
}
