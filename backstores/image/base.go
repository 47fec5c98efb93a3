package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/hint"
)

// An overlay names its base in its header, which its author has chosen, while
// root commits it. So a name found in a file is shown, and never followed without
// consent:
//
//   - The user consents by naming the base himself.
//   - Else the base is taken from the header only if every user who may write the
//     overlay may write the base as well; see mayWriteBoth.
//
// In either case the base must also have the identity that the overlay records.
// Owner and identity are those of the file that is then read and written, not of
// what its path leads to at some other time. No hint contains a name from a
// header.

// A mergeBase is the base of a merge.
type mergeBase struct {
	path   string // from the user or the header; the name of a URL
	typed  string // path or URL, as the user gave it
	named  bool   // by the user
	format string // that it had

	store backstores.Backstore
	file  baseFile // the same file, open for reading
}

// chooseBase returns the base of an overlay, which is not open yet. It shows its
// path, and checks that it may be opened.
func (m Merge) chooseBase(o *openOverlay) (*mergeBase, error) {
	b := &mergeBase{path: Name(m.Base), typed: m.Base, named: m.Base != ""}
	path, format := o.Base()
	if b.format = format; !b.named {
		b.path = path
	}
	if m.Options.Notice != nil {
		m.Options.Notice(fmt.Errorf("base: %s", hint.Visible(b.path)))
	}
	if b.named {
		return b, nil
	}
	if !filepath.IsAbs(b.path) {
		return nil, o.noConsent(b, ", which is not an absolute path")
	}
	fd, err := unix.Open(b.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, b.failed(fmt.Errorf("%s: %w", b.path, err))
	}
	defer unix.Close(fd)
	return b, o.consent(b, fd)
}

// consent returns an error unless the open base may be taken from the header of
// the overlay.
func (o *openOverlay) consent(b *mergeBase, base int) error {
	why, err := mayWriteBoth(o.file.Fd(), base)
	if err != nil {
		return fmt.Errorf("%s: %w", o.path, err)
	}
	if why != "" {
		return o.noConsent(b, ", but "+why)
	}
	return nil
}

// noConsent returns the error of a base that is not taken from the header.
func (o *openOverlay) noConsent(b *mergeBase, why string) error {
	return hint.With(fmt.Errorf("%s: names %s as its base%s", o.path, hint.Visible(b.path), why),
		hint.Command{Words: []string{"--base", "IMAGE"}, Purpose: "to name the base yourself"})
}

// open opens the base in the format that it had.
func (b *mergeBase) open(ctx context.Context, o *openOverlay, opts Options, readOnly bool) (err error) {
	opts.ReadOnly = readOnly
	if b.format == Raw {
		opts.Format = Raw
	}
	// A header's name that is a URL got no consent.
	if b.store, err = open(ctx, cmp.Or(b.typed, b.path), opts); err != nil {
		return b.failed(named(ctx, b.path, err))
	}
	defer func() {
		if err != nil {
			b.store.Close()
		}
	}()
	if err := TakesOverlay(b.store); err != nil {
		return b.failed(err)
	}
	if b.file, err = openAgain(b.path, b.store); err != nil {
		return b.failed(err)
	}
	defer func() {
		if err != nil {
			b.file.Close()
		}
	}()
	if !b.named {
		if err := o.consent(b, int(b.file.(*os.File).Fd())); err != nil {
			return err
		}
	}
	return o.attach(b.store, b.file, b.typed)
}

// Close closes the base.
func (b *mergeBase) Close() error { return errors.Join(b.file.Close(), b.store.Close()) }

// A baseFile is a second handle for the file of an image.
type baseFile interface {
	overlay.BaseFile
	io.Closer
}

// A sameFile is the file of an image, which stays open when it is closed.
type sameFile struct{ *remoteFile }

func (sameFile) Close() error { return nil }

// openAgain opens the file of an image that is open, for its identity. A URL is
// not opened again.
func openAgain(path string, s backstores.Backstore) (baseFile, error) {
	if r := elsewhere(s); r != nil {
		return sameFile{r}, nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), hint.Visible(path))
	was, err := fileID(s)
	is, err2 := entry.Of(fd)
	if err = errors.Join(err, err2); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	} else if was != is {
		err = fmt.Errorf("%s: was replaced by another file while it was opened", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// fileID returns the identity of the file that an image is in.
func fileID(s any) (entry.ID, error) {
	if i, ok := s.(interface{ ID() (entry.ID, error) }); ok {
		return i.ID()
	}
	return entry.ID{}, errors.New("is not an image in a file")
}

// A baseError is an error of a base, whose path may come from a header. The text
// shows the path, and no hint contains it.
type baseError struct {
	text string
	err  error
}

func (e *baseError) Error() string        { return e.text }
func (e *baseError) Is(target error) bool { return errors.Is(e.err, target) }

// failed returns an error of opening the base.
func (b *mergeBase) failed(err error) error {
	e := &baseError{strings.ReplaceAll(err.Error(), b.path, hint.Visible(b.path)), err}
	if errors.Is(err, unix.ENOENT) && !b.named {
		return hint.With(e, hint.Command{Words: []string{"--base", "IMAGE"}, Purpose: "if it was moved"})
	}
	return e
}
