package image

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/raw"
)

// A source is an open file that a format reads, wherever it is. A store over it
// closes it.
type source interface {
	io.ReaderAt
	io.Closer
	Size() int64
	Name() string // for messages
	Path() string // as it was typed, for commands to type

	// Changed returns an error if the file has changed since it was opened.
	Changed() error

	// Place names the place of the file, whatever path led there. Version
	// identifies what is there.
	Place() string
	Version() []byte
}

// openSource opens the file at a path or URL.
func openSource(ctx context.Context, path string, o Options) (source, error) {
	if IsURL(path) {
		return openRemote(ctx, path, o)
	}
	return openLocal(path)
}

// A localFile is an open and locked file of this machine.
type localFile struct {
	*os.File
	stat unix.Stat_t
}

// openLocal opens a file and locks it against writers.
func openLocal(path string) (*localFile, error) {
	file, err := raw.OpenReader(path)
	if err != nil {
		return nil, err
	}
	f := &localFile{File: file}
	if err := unix.Fstat(int(f.Fd()), &f.stat); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (f *localFile) Size() int64  { return f.stat.Size }
func (f *localFile) Path() string { return f.Name() }

// ID returns the identity of the file.
func (f *localFile) ID() (entry.ID, error) { return entry.IDOf(&f.stat), nil }

func (f *localFile) Changed() error {
	var now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &now); err != nil {
		return err
	}
	if now.Size != f.stat.Size || now.Mtim != f.stat.Mtim {
		return errors.New("the image was changed while it was served")
	}
	return nil
}

// Place returns the path without symbolic links, and absolute.
func (f *localFile) Place() string {
	path, err := os.Readlink(fmt.Sprint("/proc/self/fd/", f.Fd()))
	if err != nil {
		return ""
	}
	return path
}

// Version is inode, size, and the times of the last modification and change.
// Whoever may write the file may set the modification time to what it was, as
// rsync does, but not the change time.
func (f *localFile) Version() (p []byte) {
	for _, v := range []uint64{f.stat.Ino, uint64(f.stat.Size), uint64(f.stat.Mtim.Nano()), uint64(f.stat.Ctim.Nano())} {
		p = binary.LittleEndian.AppendUint64(p, v)
	}
	return p
}
