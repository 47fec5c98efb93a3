package backstores

import (
	"cmp"
	"fmt"

	"github.com/dustin/go-humanize"
)

// Facts are what is known of an image besides its contents.
type Facts struct {
	Format    string `json:"format"`
	Size      int64  `json:"size"`   // of the disk in it; 0 if only decompressing could tell
	Stored    int64  `json:"stored"` // bytes that the image takes
	Frames    int    `json:"frames,omitempty"`
	FrameSize int64  `json:"frame_size,omitempty"` // of the largest, decompressed
	Checksums bool   `json:"checksums,omitempty"`  // of each frame, in the seek table
	Index     string `json:"index,omitempty"`      // where the frames' places are known from

	// Random is false if the image must be decompressed once, in whole or in
	// part, before it can be read anywhere.
	Random bool `json:"random_access"`

	Serve string `json:"serve"`          // the line that serves it
	Pack  string `json:"pack,omitempty"` // the one that makes Random true

	unpacked string // the folder that it was unpacked to; empty if it was not
}

// A Describer is a store that knows facts of its image.
type Describer interface {
	Facts() Facts
}

// Describe says what b is in a few words for people, such as "zstd, 12,288
// frames of 128 KiB".
func Describe(b Backstore) string {
	if d, ok := b.(Describer); ok {
		return d.Facts().String()
	}
	return cmp.Or(RawFormat(b), Raw)
}

func (f Facts) String() string {
	text := f.Format
	switch {
	case f.Frames == 1:
		text += ", one frame"
	case f.Frames > 1 && f.FrameSize > 0:
		text += fmt.Sprintf(", %s frames of %s", humanize.Comma(int64(f.Frames)), humanize.IBytes(uint64(f.FrameSize)))
	case f.Frames > 1:
		text += fmt.Sprintf(", %s frames", humanize.Comma(int64(f.Frames)))
	}
	if f.unpacked != "" {
		text += ", unpacked to " + f.unpacked
	}
	return text
}
