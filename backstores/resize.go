package backstores

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Resize finds out the size alone: this image cannot be changed.
func (r *raw) Resize(n int64) error {
	if n != 0 {
		return errors.New("is open read-only, and cannot be made longer")
	}
	size, err := r.measure()
	if err != nil {
		return err
	}
	r.size.Store(size)
	return nil
}

// Resize makes a file longer by a hole.
func (w *writableRaw) Resize(n int64) error {
	if n == 0 {
		return w.raw.Resize(0)
	}
	// Against what it is now, which may be more than anybody was told yet.
	size, err := w.measure()
	switch {
	case err != nil:
		return err
	case n < size:
		return fmt.Errorf("has %d bytes, and what is in the last of them would be gone; if that is meant, try truncate -s %d %s",
			size, n, quote(w.path))
	case n > size:
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Ftruncate(w.fd, n)
		}
		if err == unix.EINVAL {
			return errors.New("is no file, and has the length that its owner gives it")
		}
		if err != nil {
			return fmt.Errorf("make it %d bytes long: %w", n, err)
		}
	}
	w.size.Store(n)
	return nil
}

// measure returns the length of the file or block device now. Its position,
// which lseek moves, is used by nobody.
func (r *raw) measure() (int64, error) {
	size, err := unix.Seek(r.fd, 0, unix.SEEK_END)
	switch {
	case err != nil:
		return 0, fmt.Errorf("size: %w", err)
	case size == 0:
		return 0, errors.New("has become empty")
	}
	return size, nil
}
