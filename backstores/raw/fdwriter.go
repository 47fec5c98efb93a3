package raw

import "golang.org/x/sys/unix"

// An fdWriter writes to a file descriptor, also past the end of the file.
type fdWriter int

func (fd fdWriter) WriteAt(p []byte, off int64) (int, error) {
	v := vectorIO{fd: int(fd), one: unix.Pwrite}
	return v.at(p, off)
}
