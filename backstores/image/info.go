package image

import (
	"cmp"
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/backstores"
)

// Info describes an image.
type Info struct {
	Format    string `json:"format"`
	LooksLike string `json:"looks_like,omitempty"` // what a raw image looks like, if that is something else
	Size      int64  `json:"size"`                 // of the disk; 0 if it must be decompressed to find out
	Stored    int64  `json:"stored"`               // bytes that the image takes
	Frames    int    `json:"frames,omitempty"`
	FrameSize int64  `json:"frame_size,omitempty"` // of the largest frame, decompressed
	Checksums bool   `json:"checksums,omitempty"`  // the seek table has one for each frame
	Index     string `json:"index,omitempty"`      // the source of the frames' offsets

	ClusterSize int64  `json:"cluster_size,omitempty"`
	Compressed  int64  `json:"compressed,omitempty"` // bytes of the disk that are in compressed clusters
	Compression string `json:"compression,omitempty"`
	Snapshots   int64  `json:"snapshots,omitempty"` // internal ones, which are not served
	Backing     string `json:"backing,omitempty"`   // what the header calls the backing file

	// Random is false if all or part of the image must be decompressed once
	// before it can be read at random.
	Random bool `json:"random_access"`

	Serve string `json:"serve,omitempty"` // the command that serves it, unless it is too short
	Pack  string `json:"pack,omitempty"`  // the command that makes Random true

	unpackedTo string // directory; empty if the image was not unpacked
	endToEnd   bool   // it can only be decompressed from end to end
	window     uint64 // bytes of memory that this takes
}

// EndToEnd reports whether the image is decompressed to a temporary file before it
// can be read at random.
func (i Info) EndToEnd() bool { return i.endToEnd }

// A Describer is a store that has an Info.
type Describer interface {
	Info() Info
}

// Describe describes a store for people, as in "zstd, 12,288 frames of 128 KiB".
func Describe(b backstores.Backstore) string {
	if d, ok := b.(Describer); ok {
		return d.Info().String()
	}
	i := Info{Format: cmp.Or(RawFormat(b), Raw)}
	switch b := b.(type) {
	case *lookalike:
		i.LooksLike = b.like
	case *guessed:
		i.LooksLike = b.like
	}
	return i.String()
}

func (i Info) String() string {
	text := i.Format
	if i.LooksLike != "" {
		text += ", though it looks like " + i.LooksLike
	}
	switch {
	case i.Frames == 1:
		text += ", one frame"
	case i.Frames > 1 && i.FrameSize > 0:
		text += fmt.Sprintf(", %s frames of %s", humanize.Comma(int64(i.Frames)), humanize.IBytes(uint64(i.FrameSize)))
	case i.Frames > 1:
		text += fmt.Sprintf(", %s frames", humanize.Comma(int64(i.Frames)))
	}
	if i.ClusterSize > 0 {
		text += ", clusters of " + humanize.IBytes(uint64(i.ClusterSize))
	}
	if i.unpackedTo != "" {
		text += ", unpacked to " + i.unpackedTo
	}
	return text
}
