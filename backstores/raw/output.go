package raw

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/hint"
)

// An Output is a new file that gets its name when it is complete.
type Output struct {
	file  *entry.File
	entry *entry.Entry
	path  string
	fd    int
	old   int   // the open file that is replaced, or -1
	size  int64 // bytes written by Write
	free  int64 // bytes that were free when it was made
	taken atomic.Int64
	ahead syncer
}

// NewOutput creates the file that Complete will name path. It returns an error
// if path exists, unless replace is set. Then the old file stays, locked for
// writing, until the new one is complete. A file that is served or is a virtual
// machine's disk is not replaced, since its users would keep a file without a
// name.
//
// inputs are the images that the file is made from. One of them may be the file
// to be replaced, if it is opened after this call. The new file grants no more
// than they do or, if it takes over owner and mode of a file that it replaces, no
// more than that one; see ownership.go.
func NewOutput(path string, replace bool, inputs ...string) (_ *Output, err error) {
	o := &Output{path: path, old: -1}
	if o.entry, err = entry.At(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.closeOld()
		}
	}()
	st, err := o.entry.Stat()
	mode, takesOver := modeOf(inputs...), false
	switch {
	case errors.Is(err, unix.ENOENT):
	case err != nil:
		return nil, err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		if err := entry.Dangling(path); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: exists and is not a regular file", path)
	case !replace:
		return nil, hint.With(fmt.Errorf("%s: exists", path), hint.Command{Words: []string{"-f"}, Purpose: "to replace it"})
	default:
		if st, takesOver, err = o.lockOld(inputs); err != nil {
			return nil, err
		}
		if takesOver {
			mode = private // until it has the owner
		} else {
			mode &= st.Mode | private
		}
	}
	if o.file, err = o.entry.New(mode); err != nil {
		return nil, err
	}
	o.fd = o.file.Fd
	if takesOver {
		takeOwnership(o.fd, st)
	}
	o.ahead.fd = o.fd
	o.free = free(o.fd)
	return o, nil
}

// NewTemp creates a private file in dir that never gets a name.
func NewTemp(dir string) (*Output, error) {
	fd, err := entry.Temporary(dir)
	if err != nil {
		return nil, err
	}
	return &Output{path: dir, fd: fd, old: -1, free: free(fd)}, nil
}

// lockOld opens and locks the file that is replaced. It returns its status, and
// whether the new file takes over its owner and mode.
func (o *Output) lockOld(inputs []string) (st *unix.Stat_t, takesOver bool, err error) {
	if o.old, err = o.entry.Open(unix.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
		return nil, false, fmt.Errorf("%s: %w", o.path, err)
	}
	if st, err = stat(o.path, o.old); err != nil {
		return nil, false, err
	}
	if err := writer.lock(o.path, o.old, st, false); err != nil {
		return nil, false, err
	}
	takesOver = ours(st)
	for _, path := range inputs {
		var in unix.Stat_t
		if unix.Stat(path, &in) == nil && entry.IDOf(&in) == entry.IDOf(st) {
			downgrade(o.old)
			takesOver = takesOver || len(inputs) == 1
		}
	}
	return st, takesOver, nil
}

// closeOld closes the folder, and the file that is replaced.
func (o *Output) closeOld() {
	if o.old >= 0 {
		unix.Close(o.old)
		o.old = -1
	}
	if o.entry != nil {
		o.entry.Close()
	}
}

// Write appends p.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.WriteAt(p, o.size)
	o.size += int64(n)
	return n, err
}

// WriteAt implements [io.WriterAt]. The file grows as needed, to 95 % of the free
// space.
func (o *Output) WriteAt(p []byte, off int64) (int, error) {
	n, err := 0, o.take(len(p))
	if err == nil {
		n, err = fdWriter(o.fd).WriteAt(p, off)
	}
	if o.ahead.fd > 0 { // a temporary file is never synced
		o.ahead.wrote(n)
	}
	if err != nil {
		err = fmt.Errorf("%s: write: %w", o.path, err)
	}
	return n, err
}

// Truncate sets the length of the file.
func (o *Output) Truncate(size int64) error {
	if err := unix.Ftruncate(o.fd, size); err != nil {
		return fmt.Errorf("%s: make a file of %d bytes: %w", o.path, size, err)
	}
	return nil
}

// Image sets the length of the file and returns it as an image whose errors
// name it as name. Image and Output share the file: the caller closes either,
// not both. The free space does not bound what is written to it.
func (o *Output) Image(name string, size int64) (*Writable, error) {
	if err := o.Truncate(size); err != nil {
		return nil, err
	}
	w := new(Writable)
	w.open(name, o.fd, size, 1)
	return w, nil
}

// Complete gives the file its name. When it returns, a power cut does not
// remove the file.
func (o *Output) Complete() error {
	if err := o.ahead.wait(); err != nil {
		return fmt.Errorf("%s: %w", o.path, err)
	}
	return o.file.Publish(o.old)
}

// Close closes the file, and discards it unless it is complete.
func (o *Output) Close() error {
	if o.file != nil {
		o.file.Unname()
	}
	o.closeOld()
	_ = o.ahead.wait() // Complete returns its error
	if err := unix.Close(o.fd); err != nil {
		return fmt.Errorf("%s: close: %w", o.path, err)
	}
	return nil
}
