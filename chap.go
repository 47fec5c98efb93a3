package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/lunserve/lunserve/configfs"
)

// readCHAP reads the file of --chap-file: two or four lines, a value on each,
// all of the line. Nothing of it is ever printed.
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
	// A pipe is read by whoever was given it.
	if fi.Mode().IsRegular() && fi.Mode()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others than its owner may use the file (mode %04o); try chmod 600 %[1]s", path, fi.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 2 && len(lines) != 4 {
		return nil, fmt.Errorf("%s: %d lines; two are needed, a user and a secret, and two more for mutual CHAP", path, len(lines))
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
