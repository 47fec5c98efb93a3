package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
)

// readCHAP reads the file of --chap-file: two or four lines, each of them one
// value, taken verbatim. It never prints any of them.
func readCHAP(path string) (*configfs.CHAP, error) {
	f, err := os.Open(path)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// The mode of a pipe does not matter: only processes that inherit it can
	// read it.
	if fi.Mode().IsRegular() && fi.Mode()&0o077 != 0 {
		return nil, hint.Try(fmt.Errorf("%s: readable or writable by group or others (mode %04o)", path, fi.Mode().Perm()), "chmod", "600", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 2 && len(lines) != 4 {
		return nil, fmt.Errorf("%s: has %d lines; it needs two, a user name and a secret, or four for mutual CHAP", path, len(lines))
	}
	c := &configfs.CHAP{User: lines[0], Secret: lines[1]}
	if len(lines) == 4 {
		c.MutualUser, c.MutualSecret = lines[2], lines[3]
		if c.MutualUser == "" || c.MutualSecret == "" {
			return nil, fmt.Errorf("%s: lines 3 and 4 must not be empty", path)
		}
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
