package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Dir returns the folder that has a socket for each serving process of this user, who
// alone can enter it; "" if there can be none.
func Dir() string {
	if os.Geteuid() == 0 {
		return "/run/lunserve"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "lunserve")
	}
	return ""
}

// errNoDir is the error of a user without a folder for sockets.
var errNoDir = errors.New("$XDG_RUNTIME_DIR is not set")

// MakeDir makes the folder of the sockets. It returns an error if that is another's:
// $XDG_RUNTIME_DIR may be a folder where others make files.
func MakeDir() error {
	dir := Dir()
	if dir == "" {
		return errNoDir
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return checkDir(dir)
}

// checkDir returns an error unless dir is a folder of this user, which others cannot
// enter.
func checkDir(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s: not a folder", dir)
	case info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%s: belongs to another user", dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s: others may enter it: mode %04o", dir, info.Mode().Perm())
	}
	return nil
}

// ownDir returns the folder if it is there and this user's, or "".
func ownDir() string {
	if dir := Dir(); dir != "" && checkDir(dir) == nil {
		return dir
	}
	return ""
}

func socket(pid int) string { return filepath.Join(Dir(), fmt.Sprintf("%d.sock", pid)) }
