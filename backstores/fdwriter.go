package backstores

import (
	"io"

	"golang.org/x/sys/unix"
)

// An fdWriter is the file of a descriptor.
type fdWriter int

func (fd fdWriter) WriteAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		n, err := unix.Pwrite(int(fd), p[done:], off+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.ErrShortWrite
		}
		done += n
	}
	return len(p), nil
}
