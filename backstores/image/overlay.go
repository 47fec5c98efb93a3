package image

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// OpenOverlay returns a store of what base holds and of the changes kept in the
// file at path, and how many bytes are kept. It creates the file if there is
// none and readOnly is not set. The base, the image at basePath, is never
// written, and must be the image that the overlay was made over. Closing the
// store closes the base; if OpenOverlay fails the base stays open.
func OpenOverlay(ctx context.Context, path string, base backstores.Backstore, basePath string, readOnly bool) (s backstores.Backstore, kept int64, err error) {
	o, err := await(ctx, path, func() (*openOverlay, error) {
		o, err := layOver(ctx, path, base, basePath, readOnly)
		err, _ = misspelt(path, err)
		return o, err
	},
		func(o *openOverlay) { o.file.Close() })
	if err != nil {
		return nil, 0, err
	}
	return o.store(readOnly), o.Kept(), nil
}

func (o *openOverlay) store(readOnly bool) backstores.Backstore {
	if readOnly {
		return o.ReadOnly()
	}
	return o.Overlay
}

// layOver creates the overlay if it is missing, opens it and attaches the base.
func layOver(ctx context.Context, path string, base backstores.Backstore, basePath string, readOnly bool) (_ *openOverlay, err error) {
	if err := TakesOverlay(base); err != nil {
		return nil, err
	}
	if err := unix.Access(path, unix.F_OK); err == unix.ENOENT && !readOnly {
		if err := createOverlay(path, base, basePath); err != nil {
			return nil, err
		}
	}
	o, err := openOverlayFile(path, readOnly)
	switch {
	case errors.Is(err, overlay.ErrNoOverlay):
		err = fmt.Errorf("%w; give the name of a file that does not exist, to make one", err)
	case errors.Is(err, overlay.ErrChanged):
		err = hint.With(err, rescue(path, basePath, base, keep))
	}
	if err != nil {
		return nil, err
	}
	if o.Committing() {
		err = hint.With(fmt.Errorf("%s: is only partly merged into its base", path), commitAgain(path, basePath, flagsOf(base)))
	} else {
		err = o.layOver(base, basePath)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		o.file.Close()
		return nil, err
	}
	return o, nil
}

// layOver puts an overlay over an open image, whose path was typed.
func (o *openOverlay) layOver(base backstores.Backstore, path string) error {
	file, err := openAgain(path, base)
	if err != nil {
		return err
	}
	defer file.Close()
	return o.attach(base, file, path)
}

// attach puts an overlay over an open image and its file. typed is the path of the
// image if the user has typed it.
func (o *openOverlay) attach(base backstores.Backstore, file baseFile, typed string) error {
	path, format := o.Base()
	if IsURL(path) { // it had none of QEMU, but a raw one has the size of its file
		format = diskFormat(base)
		if r := elsewhere(base); r != nil && base.Size() != o.Size() && r.Size() == o.Size() {
			format = Raw
		}
	}
	if format != "" && format != diskFormat(base) {
		err := fmt.Errorf("%s: is not read in the format that it had when %s was made over it", file.Name(), o.path)
		if format == Raw || format == Qcow2 {
			err = hint.Try(err, "--format", format)
		}
		return err
	}
	err := o.Attach(base, file)
	if errors.Is(err, overlay.ErrTime) {
		err = hint.With(err, rescue(o.path, typed, base, "to write what both hold to a new image, if the base has lost no more than its time"))
	}
	return err
}

// createOverlay makes an overlay, which appears when it is complete.
func createOverlay(path string, base backstores.Backstore, basePath string) error {
	absolute, err := Name(basePath), error(nil)
	if !IsURL(basePath) {
		absolute, err = filepath.Abs(basePath)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", basePath, err)
	}
	file, err := openAgain(basePath, base)
	if err != nil {
		return err
	}
	defer file.Close()
	size, write, err := overlay.New(overlay.Base{File: file, Path: absolute, Size: base.Size(), Format: qemuFormat(base)})
	if err != nil {
		return err
	}
	to, err := raw.NewOutput(path, false, basePath)
	if err != nil {
		return err
	}
	image, err := to.Image(path, size)
	if err == nil {
		err = write(image)
	}
	if err == nil {
		err = to.Complete()
	}
	return errors.Join(err, to.Close())
}

// qemuFormat returns QEMU's name for the format of a base. QEMU has no format
// "lunserve", so it does not open a base that it cannot read, nor one at a URL.
func qemuFormat(base backstores.Backstore) string {
	if elsewhere(base) != nil {
		return "lunserve"
	}
	return diskFormat(base)
}

// diskFormat is qemuFormat wherever the base is.
func diskFormat(base backstores.Backstore) string {
	_, remote := base.(*remoteFile)
	switch {
	case remote || rawFile(base) != nil:
		return Raw
	case IsQcow2(base): // and has no backing file, see TakesOverlay
		return Qcow2
	}
	return "lunserve"
}

// An openOverlay is an overlay and its open and locked file.
type openOverlay struct {
	*overlay.Overlay
	path string
	file *raw.Writable
}

// loadOverlay opens an overlay that has no base yet.
func loadOverlay(path string, readOnly bool) (*openOverlay, error) {
	o, err := openOverlayFile(path, readOnly)
	if errors.Is(err, overlay.ErrChanged) {
		err = hint.With(err, rescue(path, "", nil, keep))
	}
	return o, err
}

func openOverlayFile(path string, readOnly bool) (*openOverlay, error) {
	file, err := raw.OpenRegular(path, readOnly)
	if err != nil {
		return nil, err
	}
	return loadOverlayFile(file, path, readOnly)
}

// loadOverlayFile loads an overlay from its open file. If that fails it closes the
// file.
func loadOverlayFile(file *raw.Writable, path string, readOnly bool) (*openOverlay, error) {
	o, err := overlay.Load(file, path, overlay.SessionOf(file.Fd()), readOnly)
	if err != nil {
		file.Close()
		return nil, err
	}
	return &openOverlay{o, path, file}, nil
}

// Snapshot returns a store that holds what base holds and can be written. The
// writes go to a file in dir that has no name; it is gone when the store is
// closed or the process ends. See [overlay.Snapshot].
func Snapshot(ctx context.Context, base backstores.Backstore, dir string) (backstores.Backstore, error) {
	size := (base.Size() + overlay.BlockBytes - 1) / overlay.BlockBytes * overlay.BlockBytes
	file, err := temporary(ctx, dir, "temporary writes", size)
	if err != nil {
		return nil, err
	}
	return overlay.Snapshot(base, file), nil
}
