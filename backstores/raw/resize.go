package raw

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Resize implements [backstores.Resizer] for an image that cannot be changed:
// it only reads the present size.
func (f *File) Resize(n int64) error {
	if n != 0 {
		return errors.New("is open read-only, and cannot be made longer")
	}
	size, err := f.measure()
	if err != nil {
		return err
	}
	f.size.Store(size)
	return nil
}

// Resize implements [backstores.Resizer]. It appends a hole to the file.
func (w *Writable) Resize(n int64) error {
	if n == 0 {
		return w.File.Resize(0)
	}
	// Compare with the present size: others may have made the file longer.
	size, err := w.measure()
	switch {
	case err != nil:
		return err
	case n < size:
		return fmt.Errorf("has %d bytes; lunserve does not shrink images", size)
	case n > size:
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Ftruncate(w.fd, n)
		}
		if err == unix.EINVAL {
			return errors.New("is not a file, so its length cannot be changed")
		}
		if err != nil {
			return fmt.Errorf("make it %d bytes long: %w", n, err)
		}
	}
	w.size.Store(n)
	return nil
}

// measure returns the present length of the file or block device. lseek moves
// the file's position, which nothing uses.
func (f *File) measure() (int64, error) {
	size, err := unix.Seek(f.fd, 0, unix.SEEK_END)
	switch {
	case err != nil:
		return 0, fmt.Errorf("size: %w", err)
	case size == 0:
		return 0, errors.New("has become empty")
	}
	return size, nil
}
