package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/entry"
)

// An ownFile is a file that the service makes for its user, the pid file or the
// trace, or a stream that takes its place. A file replaces only an older one of
// its kind: a slip of the finger costs no disk image.
type ownFile struct {
	*os.File              // nil if it was sent
	name     *entry.Entry // nil for a stream
	text     []byte       // what it held at first
	stop     func()       // ends the sending
}

// A fileKind is a kind of ownFile.
type fileKind struct {
	name string
	mode uint32         // less the umask
	once bool           // it is written once, and a stream is closed then
	old  *regexp.Regexp // matches the start of such a file
}

var (
	// A process ID is no secret, and supervisors that are not root read it.
	pidFiles = fileKind{"pid file", 0o644, true, regexp.MustCompile(`^\d*\n?$`)}
	// A trace says what is on the disk, and where.
	traceFiles = fileKind{"trace", 0o600, false, regexp.MustCompile(`^($| *\d+\.\d{6} +\d+ µs )`)}
)

// create makes a file that holds text. If there is a stream at path, create sends
// it text if the kind is written once, else opens it.
func (k fileKind) create(path string, text []byte) (*ownFile, error) {
	return k.draft(path, text).publish()
}

// adopt returns the file at path if another process made it and it holds text.
func (k fileKind) adopt(path string, text []byte) *ownFile {
	name, err := entry.At(path)
	if err != nil {
		return nil
	}
	fd, err := k.older(name, path)
	if err != nil || fd < 0 {
		name.Close()
		return nil
	}
	f := &ownFile{File: os.NewFile(uintptr(fd), path), name: name, text: text}
	if now, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(text))+1)); err != nil || !bytes.Equal(now, text) {
		f.close()
		return nil
	}
	return f
}

// older opens the file that has the name, or returns -1 if there is none. It
// must be one of this kind.
func (k fileKind) older(name *entry.Entry, path string) (int, error) {
	fd, err := name.Open(unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == unix.ENOENT {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	head := make([]byte, 64)
	n, err := unix.Pread(fd, head, 0)
	if err == nil && !k.old.Match(head[:n]) {
		err = fmt.Errorf("exists, and is not a %s; name another file", k.name)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	return fd, nil
}

// remove removes the file and closes it. It keeps a file that has taken its name
// since, and its own if that holds something else now.
func (f *ownFile) remove() error {
	defer f.close()
	if f.name == nil {
		return nil
	}
	now, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(f.text))+1))
	if err != nil || !bytes.Equal(now, f.text) {
		return err
	}
	err = f.name.Remove(int(f.Fd()))
	if errors.Is(err, entry.ErrReplaced) {
		return nil
	}
	return err
}

// close closes the file, which stays.
func (f *ownFile) close() error {
	if f.stop != nil {
		f.stop()
		return nil
	}
	if f.name != nil {
		f.name.Close()
	}
	return f.Close()
}
