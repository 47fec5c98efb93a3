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
}

// A Describer knows facts of its image, and says what it is in a few words for
// people, such as "zstd, 12,288 frames of 128 KiB".
type Describer interface {
	Describe() string
	Facts() Facts
}

// Describe says what b is.
func Describe(b Backstore) string {
	if d, ok := b.(Describer); ok {
		return d.Describe()
	}
	return cmp.Or(RawFormat(b), Raw)
}

func (f Facts) String() string {
	switch {
	case f.Frames == 1:
		return f.Format + ", one frame"
	case f.Frames > 1 && f.FrameSize > 0:
		return fmt.Sprintf("%s, %s frames of %s", f.Format, humanize.Comma(int64(f.Frames)), humanize.IBytes(uint64(f.FrameSize)))
	case f.Frames > 1:
		return fmt.Sprintf("%s, %s frames", f.Format, humanize.Comma(int64(f.Frames)))
	}
	return f.Format
}
