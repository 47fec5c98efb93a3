package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/remote"
	"github.com/lunserve/lunserve/hint"
)

// missing returns err with what a person may have meant who typed the path of an
// image that does not exist: a file with a similar name or, if make is set and
// there is none, an image to make in a folder that exists. Only paths that were
// typed get hints: one that a file contains names whatever the author of the file
// likes.
func missing(path string, err error, make bool) error {
	err, done := misspelt(path, err)
	if done {
		return err
	}
	dir, name := filepath.Split(path)
	switch {
	case url.MatchString(path):
		return unknownScheme(path)
	case strings.HasPrefix(path, "/dev/"):
		return hint.With(err, hint.Command{Words: []string{"lsblk"}, Purpose: "to list the block devices"})
	case strings.ContainsAny(path, "*?["):
		try := hint.Command{Words: []string{"ls"}, Purpose: "to see what is there"}
		if dir != "" {
			try.Words = append(try.Words, hint.Path(dir))
		}
		return hint.With(fmt.Errorf("%s: no file matches", path), try)
	case make && name != "" && isFolder(dir):
		return hint.With(err, hint.Command{Words: []string{"lunserve", "--size", "10G", hint.Path(path)}, Purpose: "to make one"})
	}
	return err
}

// misspelt returns err with files of similar names, and whether that is all there
// is to say. An overlay is no device and not to be downloaded.
func misspelt(path string, err error) (_ error, done bool) {
	if IsURL(path) || !errors.Is(err, fs.ErrNotExist) {
		return err, true
	}
	if _, exists := os.Lstat(path); exists == nil {
		if dangling := entry.Dangling(path); dangling != nil {
			return dangling, true
		}
		return err, true // the error is not about path
	}
	near := nearFiles(path)
	return hint.With(err, near...), len(near) > 0
}

// isFolder reports whether dir is one; empty, it is the working directory.
func isFolder(dir string) bool {
	fi, err := os.Stat(filepath.Clean(dir))
	return err == nil && fi.IsDir()
}

var url = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// unknownScheme returns the error of a URL of another kind than [IsURL].
func unknownScheme(location string) error {
	err := fmt.Errorf("%s: is a URL, and only those of http, https and s3 can be opened", remote.Name(location))
	if scheme, _, _ := strings.Cut(location, "://"); !strings.EqualFold(scheme, "ftp") {
		return err
	}
	return hint.With(err, remote.Download(location, remote.Options{}))
}

// nearFiles returns the names of up to three files of which path is likely to be
// a misspelling. A device is never one of them: it may hold this system.
func nearFiles(path string) (near []hint.Command) {
	dir, base := filepath.Split(path)
	if base == "" || strings.HasPrefix(path, "/dev/") {
		return nil
	}
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(10000)
	slices.Sort(names)
	likely := hint.NearFiles(base, names)
	for _, name := range names {
		if strings.HasPrefix(name, base+".") && !slices.Contains(likely, name) {
			likely = append(likely, name)
		}
	}
	for _, name := range likely {
		if fi, err := os.Stat(dir + name); err == nil && fi.Mode().IsRegular() && len(near) < 3 {
			near = append(near, hint.Command{Words: []string{hint.Path(dir + name)}, Instead: path})
		}
	}
	return near
}
