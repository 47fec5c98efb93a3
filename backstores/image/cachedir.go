package image

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The user's cache directory has a directory of ours, with an entry for each path
// of a file. So a new version of a file, which has another key, takes the place of
// the old one, however often a file is replaced or a backup changes its times.
//
// An entry decides what a disk contains, so it is used only if nobody else can have
// written it: the directory and the file belong to this user, and to write them
// takes being that user. A symbolic link leads to what others may write.

// errCache is the error of a cache that others may write.
var errCache = errors.New("belongs to another user, or others may write it")

// CacheDir returns the path of our directory, which may not exist.
func CacheDir() (string, error) {
	user, err := os.UserCacheDir()
	return filepath.Join(user, "lunserve"), err
}

// openCache opens our directory, which it makes if necessary.
func openCache() (*os.Root, error) {
	dir, err := CacheDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
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
	if err == nil && (!os.SameFile(link, st) || !ours(st)) {
		err = fmt.Errorf("%s: %w", dir, errCache)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// ours reports whether only this user can have written the file.
func ours(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid() && st.Mode()&0o022 == 0
}

// cacheName is the name of the entry of a file at a place, see [source].
func cacheName(place string) (string, error) {
	if place == "" {
		return "", errors.New("its place is unknown")
	}
	sum := sha256.Sum256([]byte(place))
	return hex.EncodeToString(sum[:16]) + ".index", nil
}

// readCache returns what was last written for the file at a place.
func readCache(place string) ([]byte, error) {
	name, err := cacheName(place)
	if err != nil {
		return nil, err
	}
	root, err := openCache()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if st, err := root.Lstat(name); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() || !ours(st) {
		return nil, fmt.Errorf("%s: %w", name, errCache)
	}
	// Nobody else can replace the file in this directory.
	return root.ReadFile(name)
}

// writeCache saves b for the file at a place. The entry appears when it is
// complete, and replaces an older one.
func writeCache(place string, b []byte) error {
	name, err := cacheName(place)
	if err != nil {
		return err
	}
	root, err := openCache()
	if err != nil {
		return err
	}
	defer root.Close()
	temp := ".new-" + rand.Text()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		root.Remove(temp)
	}
	return err
}
