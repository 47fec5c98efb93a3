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
	size    int64 // written by Write
	ahead   syncer
}

// NewOutput begins the file that is to be at path. If there is one it is an
// error, unless it is to be replaced: then it stays until the new one is
// complete.
func NewOutput(path string, replace bool) (*Output, error) {
	var st unix.Stat_t
	switch err := unix.Lstat(path, &st); {
	case err == unix.ENOENT:
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s: exists and is no regular file", path)
	case !replace:
		return nil, fmt.Errorf("%s: exists; try -f to replace it", path)
	}
	d, err := newDraft(filepath.Dir(path), false)
	if err != nil {
		return nil, err
	}
	return &Output{draft: d, path: path, replace: replace, ahead: syncer{fd: d.fd}}, nil
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
	_ = o.ahead.wait() // of what is not complete nobody wants to know
	if err := unix.Close(o.fd); err != nil {
		return fmt.Errorf("%s: close: %w", o.path, err)
	}
	return nil
}
