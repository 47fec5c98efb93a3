package remote

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxSetting is more than all certificates of a system take.
const maxSetting = 4 << 20

// readSetting reads a file that the user names. A FIFO or terminal would block, and
// what is not a regular file may have no end. check may refuse the file.
func readSetting(path string, check func(fs.FileInfo) error) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s: is not a regular file", path)
	case check != nil:
		if err := check(st); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSetting+1))
	if err == nil && len(text) > maxSetting {
		err = fmt.Errorf("has more than %d bytes", maxSetting)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(text), nil
}
