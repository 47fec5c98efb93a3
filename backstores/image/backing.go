package image

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/hint"
)

// openBacking opens the backing file of the image of this name, or returns nil if
// it has none.
func openBacking(ctx context.Context, name string, h *qcow2.Header, o Options) (backstores.Backstore, error) {
	switch {
	case h.Backing == "" && len(o.Backing) > 0:
		return nil, fmt.Errorf("%s: has no backing file; leave out --backing", name)
	case h.Backing == "":
		return nil, nil
	case len(o.Backing) == 0:
		return nil, hint.Try(fmt.Errorf("%s: needs its backing file, which it calls %s", name, hint.Visible(h.Backing)), "--backing", "FILE")
	}
	b := o.Backing[0]
	o.ReadOnly, o.Create, o.Backing, o.nested = true, 0, o.Backing[1:], false
	format, err := backingFormat(ctx, b, name, h.BackingFormat(), o)
	if err != nil {
		return nil, err
	}
	o.Format = format
	s, err := open(ctx, b, o)
	if err != nil {
		err, _ = misspelt(b, err)
	}
	return s, err
}

// backingFormat returns the format in which the file at path is opened as the
// backing file of the image at top, whose header says that it is in format says.
//
// The header decides, if it says something: a guest may have written what the file
// looks like. But the file is the one that was typed, such as the zstd file of what
// the header means, so it must not look like something else, unless it was served
// raw. A header that says nothing leaves it to the contents, and those of a device
// must be beyond doubt.
func backingFormat(ctx context.Context, path, top, says string, o Options) (string, error) {
	var d detected
	var device bool
	var err error
	if IsURL(path) {
		o.little = true
		f, failed := openRemote(ctx, path, o)
		if failed != nil {
			return "", failed
		}
		d, err = decide(path, f, f.Size(), Auto, func() bool { return false })
		f.Close()
	} else {
		if device, err = raw.Look(path); err != nil {
			return Auto, nil // opening it returns the error
		}
		d, err = detect(path, device, Auto)
	}
	switch {
	case says == Qcow2 && (err != nil || d.format == Raw || d.format == Qcow2):
		return Qcow2, nil // which returns an error if it is none
	case err != nil:
		return "", err
	case says == Raw && d.format == Raw:
		return Raw, nil
	case says == "" && (!device || d.looksLike == ""):
		return Auto, nil
	case says == "":
		return "", fmt.Errorf("%s: looks like %s, and %s does not say in which format its backing file is", path, d.looksLike, top)
	case says != Raw && says != Qcow2:
		return "", fmt.Errorf("%s: says that its backing file is in the format %s, which lunserve does not read", top, hint.Visible(says))
	}
	err = fmt.Errorf("%s: is a %s file, and %s says that its backing file is in the format %s", Name(path), d.format, top, says)
	if d.format == Qcow2 {
		return "", err
	}
	return "", hint.With(err, unpackCommand(path, o))
}
