package serve

import (
	"fmt"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores/image"
)

// An Image is what to serve as one LUN, and what is done with it alone.
type Image struct {
	Path     string // or URL
	Scratch  int64  // bytes of a disk that has no image; 0: Path is one
	Part     Part
	ReadOnly bool
	Snapshot bool   // writes go to a temporary file
	Overlay  string // writes go to this file; empty: no overlay
}

// scratchName is the name of disks without an image.
const scratchName = "scratch"

// name names the image in messages.
func (i *Image) name() string {
	if i.Scratch > 0 {
		return scratchName
	}
	return image.Name(i.Path)
}

// absolute returns the absolute path of the image, or the name of what is no file.
func (i *Image) absolute() (string, error) {
	if i.Scratch > 0 {
		return scratchName, nil
	}
	return absolute(i.Path)
}

// whole identifies the whole image, for the name of a target, see configfs.WWN.
func (i *Image) whole() string {
	if i.Scratch > 0 {
		return scratchName + "://"
	}
	return image.Identity(i.Path)
}

// identity identifies the image, which exists, or a part of it, for the name of a disk.
func (i *Image) identity() (string, error) {
	whole := i.whole()
	if i.Part == (Part{}) {
		return whole, nil
	}
	if !image.IsURL(i.Path) {
		var err error
		if whole, err = filepath.EvalSymlinks(i.Path); err == nil {
			whole, err = filepath.Abs(whole)
		}
		if err != nil {
			return "", err // has the path
		}
	}
	p := i.Part
	return fmt.Sprintf("part://%d,%d,%d/%s", p.Partition, p.Offset, p.Limit, whole), nil
}

// keepsFromCreating says which option keeps Options.Size from creating the image.
func (i *Image) keepsFromCreating() string {
	switch {
	case i.ReadOnly:
		return ", and --read-only creates none"
	case i.Snapshot:
		return ", and --snapshot creates none"
	case i.Overlay != "":
		return ", and --overlay creates none"
	}
	return ""
}

// isWritten reports whether the image itself is to be written.
func (i *Image) isWritten() bool { return !i.ReadOnly && !i.Snapshot && i.Overlay == "" }

// A Part is the part of an image that is served as if it were all of it. The zero
// value is all of it.
type Part struct {
	Partition     int   // from 1; 0: the part is given in bytes
	Offset, Limit int64 // where it begins, and the most that it has; 0: up to the end
}

// String describes the part for people, or is empty.
func (p Part) String() string {
	switch {
	case p.Partition > 0:
		return fmt.Sprint("partition ", p.Partition)
	case p != Part{}:
		return fmt.Sprintf("from byte %s on", humanize.Comma(p.Offset))
	}
	return ""
}
