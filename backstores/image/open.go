// Package image opens disk images of any format, describes, unpacks and merges
// them.
//
// It finds out the format and gives an image to the package that reads it: raw,
// seekable, qcow2 or overlay. cli and serve import it; it imports only the packages
// below it, and knows nothing of SCSI or the kernel's targets. Its functions
// end soon after their context is done, even if storage hangs.
package image

import (
	"context"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// Open opens and locks the image at path, a regular file or a block device, or
// opens the image at a URL, which cannot be locked or written. The store is an
// [io.WriterAt] unless o.ReadOnly is set or its format is read-only.
//
// Each error is one line that begins with path. A file that Open created is
// removed if Open fails. If ctx is done and storage does not answer, Open
// returns an error, and closes the image when storage answers at last.
func Open(ctx context.Context, path string, o Options) (backstores.Backstore, error) {
	return await(ctx, Name(path), func() (backstores.Backstore, error) {
		s, err := open(ctx, path, o)
		if o.Create > 0 && !o.ReadOnly {
			return s, err // of its folder
		}
		makes := !o.ReadOnly && (o.Format == Auto || o.Format == "" || o.Format == Raw || o.Format == Sparse)
		return s, missing(path, err, makes)
	}, closeStore)
}

func closeStore(s backstores.Backstore) {
	if s != nil {
		s.Close()
	}
}

// open is Open without the wait.
func open(ctx context.Context, path string, o Options) (backstores.Backstore, error) {
	if path == "" {
		return nil, hint.Try(errors.New("no image given"), "lunserve", "--help")
	}
	o = o.withDefaults()
	file, d, err := openSource(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return openInPlace(ctx, path, d, o)
	}
	return openFormat(ctx, file, d.format, o)
}

// openInPlace opens the raw image at path.
func openInPlace(ctx context.Context, path string, d detected, o Options) (backstores.Backstore, error) {
	s, err := raw.Open(ctx, path, raw.Options{ReadOnly: o.ReadOnly, Create: o.Create})
	if err != nil {
		return nil, err
	}
	return guess(s, path, d, o), nil
}

// noBacking returns an error if an image of a format without backing files is given
// some.
func noBacking(name, format string, o Options) error {
	if format == Qcow2 || len(o.Backing) == 0 {
		return nil
	}
	return fmt.Errorf("%s: is a %s image, which has no backing file; leave out --backing", name, format)
}

// openFormat returns the disk in a file, and takes the file over. A raw image is
// one at a URL.
func openFormat(ctx context.Context, file source, format string, o Options) (s backstores.Backstore, err error) {
	switch format {
	case Zstd:
		s, err = openZstd(ctx, file, o)
	case Simg:
		if s, err = openSimg(file.Name(), file); err != nil {
			file.Close()
		}
	case VMDK:
		if s, err = openVMDK(file, o); err != nil {
			file.Close()
		}
	case Qcow2:
		s, err = openQcow2(ctx, file, o)
	default:
		return file, nil
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		s.Close()
		return nil, ctx.Err()
	}
	if format == Qcow2 || format == VMDK {
		return s, nil // the guest of a disk writes to it what it likes
	}
	return unnested(file.Path(), s, o)
}

// Discard removes the file of an image that Open created, and leaves any other.
// The image stays open.
func Discard(s backstores.Backstore) error {
	if w, ok := s.(*guessed); ok {
		return w.Discard()
	}
	return nil
}

// RawFormat returns [Sparse] for a file with holes and [Raw] for one without. It
// returns an empty string for a device or an image of another format.
func RawFormat(b backstores.Backstore) string {
	f := rawFile(b)
	if f == nil || f.IsDevice() {
		return ""
	}
	if n, data, err := f.Extent(0); err == nil && data && n == f.Size() {
		return Raw
	}
	return Sparse
}

// rawFile returns the file of a raw image, or nil for another store.
func rawFile(b backstores.Backstore) *raw.File {
	switch b := b.(type) {
	case *raw.File:
		return b
	case *lookalike:
		return b.File
	case *guessed:
		return &b.File
	}
	return nil
}

// NewOutput creates the file that will be at path when it is complete, see
// [raw.NewOutput].
func NewOutput(path string, replace bool, inputs ...string) (*raw.Output, error) {
	return raw.NewOutput(path, replace, inputs...)
}
