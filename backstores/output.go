package backstores

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// An Output is a new file that has no name until it is complete.
type Output struct {
	draft
	path    string
	replace bool
	old     int   // the open file that is replaced, or -1
	size    int64 // written by Write
	ahead   syncer
}

// NewOutput begins the file that is to be at path. If there is one it is an
// error, unless it is to be replaced: then it stays, locked as by a writer,
// until the new one is complete. What is served, or is a virtual machine's disk,
// is not replaced: they would go on with a file that has no name.
//
// From are the images that the file is made of. One of them may be what is
// replaced, if it is opened after this. Nobody may do more to the file than
// to them or, if there is one, to that which is replaced.
func NewOutput(path string, replace bool, from ...string) (_ *Output, err error) {
	o := &Output{path: path, replace: replace, old: -1}
	var st unix.Stat_t
	mode := uint32(private)
	switch err := unix.Lstat(path, &st); {
	case err == unix.ENOENT:
		mode = modeOf(from...)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s: exists and is no regular file", path)
	case !replace:
		return nil, fmt.Errorf("%s: exists; try -f to replace it", path)
	default:
		if err := o.claim(&st, from); err != nil {
			return nil, err
		}
	}
	if o.draft, err = newDraft(filepath.Dir(path), mode); err != nil {
		o.unclaim()
		return nil, err
	}
	if o.old >= 0 {
		o.succeed(&st)
	}
	o.ahead.fd = o.fd
	return o, nil
}

// claim opens and locks what is to be replaced, and says in st what it is.
func (o *Output) claim(st *unix.Stat_t, from []string) (err error) {
	if o.old, err = openMode(o.path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("%s: %w", o.path, err)
	}
	defer func() {
		if err != nil {
			o.unclaim()
		}
	}()
	if err := unix.Fstat(o.old, st); err != nil {
		return fmt.Errorf("%s: %w", o.path, err)
	}
	if err := writer.lock(o.path, o.old, st, false); err != nil {
		return err
	}
	for _, path := range from {
		var in unix.Stat_t
		if unix.Stat(path, &in) == nil && in.Dev == st.Dev && in.Ino == st.Ino {
			onlyRead(o.old)
		}
	}
	return nil
}

func (o *Output) unclaim() {
	if o.old >= 0 {
		unix.Close(o.old)
		o.old = -1
	}
}

// Write appends.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.WriteAt(p, o.size)
	o.size += int64(n)
	return n, err
}

// WriteAt is that of [io.WriterAt].
func (o *Output) WriteAt(p []byte, off int64) (int, error) {
	n, err := fdWriter(o.fd).WriteAt(p, off)
	o.ahead.wrote(n)
	if err != nil {
		err = fmt.Errorf("%s: write: %w", o.path, err)
	}
	return n, err
}

// Truncate makes the file size bytes long.
func (o *Output) Truncate(size int64) error {
	if err := unix.Ftruncate(o.fd, size); err != nil {
		return fmt.Errorf("%s: size of %d bytes: %w", o.path, size, err)
	}
	return nil
}

// Complete gives the file its name, and returns when a power cut cannot take
// it away again.
func (o *Output) Complete() error {
	if err := o.ahead.wait(); err != nil {
		return fmt.Errorf("%s: %w", o.path, err)
	}
	return o.publish(o.path, o.replace)
}

// Close ends an Output. One that is not complete is gone.
func (o *Output) Close() error {
	o.forget()
	o.unclaim()
	_ = o.ahead.wait() // of what is not complete nobody wants to know
	if err := unix.Close(o.fd); err != nil {
		return fmt.Errorf("%s: close: %w", o.path, err)
	}
	return nil
}
