package backstores

import "golang.org/x/sys/unix"

// An fdWriter is the file of a descriptor.
type fdWriter int

func (fd fdWriter) WriteAt(p []byte, off int64) (int, error) {
	m := mover{fd: int(fd), one: unix.Pwrite}
	return m.at(p, off)
}
