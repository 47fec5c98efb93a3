package entry

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Chain is the name of a file, and the symbolic links that led to it. Close
// it.
type Chain struct {
	names []*Entry // links, and the file last
	ids   []ID
}

// Follow returns the chain that begins at path.
func Follow(path string) (_ *Chain, err error) {
	c := new(Chain)
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	const most = 40 // as in the kernel
	for folder, next := unix.AT_FDCWD, path; len(c.names) <= most; {
		e, err := at(folder, next)
		if err != nil {
			return nil, err
		}
		c.names = append(c.names, e)
		st, err := e.Stat()
		if err != nil {
			return nil, err
		}
		c.ids = append(c.ids, IDOf(st))
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return c, nil
		}
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(e.folder, e.name, target)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		}
		folder, next = e.folder, string(target[:n])
	}
	return nil, fmt.Errorf("%s: %w", path, unix.ELOOP)
}

// Remove removes the name of the open file and, if the chain begins with a
// symbolic link, that link. A name that has become that of another file is kept,
// and is an error.
func (c *Chain) Remove(open int) error {
	last := len(c.names) - 1
	err := c.names[last].Remove(open)
	if err == nil && last > 0 {
		err = c.names[0].RemoveID(c.ids[0])
	}
	return err
}

// Close closes the folders.
func (c *Chain) Close() {
	for _, e := range c.names {
		e.Close()
	}
}

// Dangling returns an error if path is that of a symbolic link which leads to
// nothing, else nil. To the system, a name like that is missing for one call and
// exists for the next.
func Dangling(path string) error {
	to, err := os.Readlink(path)
	if err != nil {
		return nil
	}
	if _, err := os.Stat(path); !errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("%s: is a symbolic link to %s, which does not exist", path, to)
}
