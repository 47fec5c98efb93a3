package raw

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Attr returns the value of an extended attribute of an open file, or an empty
// string if it has none or a long one.
func Attr(fd int, name string) string {
	var p [64]byte
	n, err := unix.Fgetxattr(fd, name, p[:])
	if err != nil {
		return ""
	}
	return string(p[:n])
}

// SetAttr gives the image an extended attribute, and makes it durable. The
// error does not name the image.
func (w *Writable) SetAttr(name, value string) error {
	if err := unix.Fsetxattr(w.fd, name, []byte(value), 0); err != nil {
		return fmt.Errorf("set attribute %s: %w", name, err)
	}
	failures := w.syncs.begin()
	var err error = unix.EINTR
	for err == unix.EINTR {
		err = unix.Fsync(w.fd) // fdatasync may leave out attributes
	}
	if err := w.syncs.end(failures, err, false); err != nil {
		return fmt.Errorf("flush attribute %s: %w", name, err)
	}
	return nil
}
