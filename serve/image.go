package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/volatile"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// An openedImage is an image, opened and locked, with its layers.
type openedImage struct {
	path      string   // as given, or the name of a URL
	identity  string   // of a disk that is to be made, see Image.identity
	scratch   bool     // path and abs lead to no file
	abs       string   // absolute, or the name of a URL
	backing   []string // the same of its backing files
	starting  bool     // the start has not succeeded yet
	blockSize int
	format    string               // in words
	writes    control.Writes       // where they go
	overlay   string               // absolute path, or empty
	thin      bool                 // thin provisioned
	guessed   bool                 // thin follows from the holes of the file
	base      backstores.Backstore // the image
	store     backstores.Backstore // base, or the topmost layer over it
	partText  string               // which part, for people, or empty
	part      *Part                // in bytes: that part of store which the disk has, or nil
	cache     *volatile.Store      // of what is not flushed, over the store; nil unless --fault-track
	handed    *handedOverDisk      // from the program before, or nil
}

// size is that of the disk in bytes, in whole blocks.
func (i *openedImage) size() int64 { return wholeBlocks(i.disk().Size(), i.blockSize) }

func wholeBlocks(bytes int64, blockSize int) int64 {
	return bytes / int64(blockSize) * int64(blockSize)
}

// absolute returns the absolute path of an image, or the name of a URL.
func absolute(given string) (string, error) {
	if image.IsURL(given) {
		return image.Name(given), nil
	}
	return filepath.Abs(given)
}

// openImage opens and locks an image, stacks the layers, and prints what it is.
func (s *service) openImage(ctx context.Context, given Image, down *configfs.Undo) (*openedImage, error) {
	o := &s.options
	abs, err := given.absolute()
	if err != nil {
		return nil, err
	}
	path := given.name()
	img := &openedImage{path: path, scratch: given.Scratch > 0, abs: abs, starting: true, blockSize: o.SectorSize, handed: s.handedDisk(len(s.disks))}
	for _, b := range o.Open.Backing {
		if abs, err = absolute(b); err != nil {
			return nil, err
		}
		img.backing = append(img.backing, abs)
	}
	bar := s.console.NewBar()
	defer bar.Clear()
	open := o.Open
	open.ReadOnly, open.Create = !given.isWritten(), o.Size
	open.Notice = func(note error) { s.console.Say("%s", hint.Text(note)) }
	open.Progress = bar.Show
	switch {
	case given.Scratch > 0:
		img.base, err = image.Scratch(ctx, given.Scratch, o.Open.TempDir)
	case img.handed != nil:
		img.base, err = image.Inherit(path, img.handed.Image, img.handed.Size, open)
	default:
		img.base, err = image.Open(ctx, given.Path, open)
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && open.Create > 0 {
			err = fmt.Errorf("%w%s", err, given.keepsFromCreating())
		}
		return nil, err
	}
	img.store, img.format = img.base, image.Describe(img.base)
	down.Push(func() error {
		defer configfs.Begin("flush and close " + path)()
		var discarded error
		if img.starting {
			discarded = image.Discard(img.base)
		}
		return errors.Join(discarded, backstores.Flush(img.store), img.store.Close())
	})
	if s.role == starting { // others make no disk, and the path may be gone
		if img.identity, err = given.identity(); err != nil {
			return nil, err
		}
	}
	words, err := img.stack(ctx, given, o)
	if err == nil {
		err = img.findPart(ctx, given.Part)
	}
	if err != nil {
		return nil, err
	}
	whole := img.size()
	if whole == 0 {
		return nil, fmt.Errorf("%s: less than one block of %d bytes", path, img.blockSize)
	}
	if o.CDROM && whole > scsi.MaxCDROM {
		return nil, fmt.Errorf("%s: larger than a CD-ROM, which has less than 8 TiB; leave out --cdrom", path)
	}
	bar.Clear()
	if img.writes == control.Temporary && !given.Snapshot && image.IsQcow2(img.base) {
		note := fmt.Errorf("%s: qcow2 images are not written in place", path)
		if image.TakesOverlay(img.base) == nil {
			note = hint.With(note, hint.Command{Words: []string{"--overlay", hint.Path(hint.Free("changes"))}, Purpose: "to keep writes in that file"})
		}
		s.console.Say("%s", hint.Text(note))
	}
	of := humanize.IBytes(uint64(whole))
	if img.partText = given.Part.String(); img.partText != "" {
		of = img.partText + ", " + of
	}
	s.console.Say("%s: %s, %s, %s", path, img.format, of, words)
	if rest := img.disk().Size() - whole; rest > 0 {
		s.console.Say("%s: the last %d bytes are not part of the disk: they do not fill a block of %d", path, rest, img.blockSize)
	}
	return img, nil
}
