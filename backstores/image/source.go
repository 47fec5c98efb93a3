package image

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/raw"
)

// A source is an open file that a format reads, wherever it is. A store over it
// closes it.
type source interface {
	backstores.Backstore
	Name() string // for messages
	Path() string // as it was typed, for commands to type

	// Changed returns an error if the file has changed since it was opened.
	Changed() error

	// Place names the place of the file, whatever path led there. Version
	// identifies what is there.
	Place() string
	Version() []byte
}

// openSource finds out the format of the image at a path or URL, and opens its
// file. It leaves a raw image of this machine to openInPlace, which may make or write
// it, and returns no file.
func openSource(ctx context.Context, path string, o Options) (source, detected, error) {
	if IsURL(path) {
		return openURL(ctx, path, o)
	}
	d := detected{format: Raw}
	// An error of Look is returned by raw.Open.
	if device, err := raw.Look(path); err == nil {
		if d, err = detect(path, device, o.Format); err == nil {
			err = noBacking(path, d.format, o)
		}
		if err != nil {
			return nil, d, err
		}
	}
	if !readOnlyFormat(d.format) {
		return nil, d, nil
	}
	if o.Create > 0 {
		return nil, d, existsAs(path, d.format)
	}
	f, err := openLocal(ctx, path)
	if err != nil {
		return nil, d, err
	}
	return f, d, nil
}

// readOnlyFormat reports whether images of a format are never written in place.
func readOnlyFormat(format string) bool {
	return format == Zstd || format == Qcow2 || format == Simg || format == VMDK
}

// A localFile is an open and locked file or block device of this machine.
type localFile struct {
	*raw.File
	path string
	stat unix.Stat_t
}

// openLocal opens a file and locks it against writers.
func openLocal(ctx context.Context, path string) (*localFile, error) {
	s, err := raw.Open(ctx, path, raw.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	f := &localFile{File: s.(*raw.File), path: path}
	if err := unix.Fstat(f.Fd(), &f.stat); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (f *localFile) Name() string { return f.path }
func (f *localFile) Path() string { return f.path }

// ID returns the identity of the file.
func (f *localFile) ID() (entry.ID, error) { return entry.IDOf(&f.stat), nil }

// Changed compares size and time. udev sets the times of a device's node.
func (f *localFile) Changed() error {
	if f.IsDevice() {
		return nil
	}
	var now unix.Stat_t
	if err := unix.Fstat(f.Fd(), &now); err != nil {
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
// A program that writes the file can set the modification time to what it was, as
// rsync does, but not the change time.
func (f *localFile) Version() (p []byte) {
	for _, v := range []uint64{f.stat.Ino, uint64(f.stat.Size), uint64(f.stat.Mtim.Nano()), uint64(f.stat.Ctim.Nano())} {
		p = binary.LittleEndian.AppendUint64(p, v)
	}
	return p
}
