// Package contents finds partitions and file systems in the first sectors of a
// disk.
//
// It tells a disk from other data: whatever it finds, it finds by bytes that are
// not there by accident, such as a checksum, or a magic number and fields that
// make sense. It says what a disk is missing: an image may have been cut short.
// It reads a bounded number of bytes, whatever they are.
//
// Any package may import it. It imports no other package of lunserve, and never
// writes.
package contents

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
)

// A Disk is what is on a disk.
type Disk struct {
	// Volumes are the whole disk and, if it has a partition table, its
	// partitions.
	Volumes []Volume `json:"contents,omitempty"`

	// SectorSize is the size of the blocks that the partition table counts in,
	// or 0 if that is unknown. With another sector size the kernel finds no
	// partitions.
	SectorSize int `json:"sector_size,omitempty"`

	// Notes say what is wrong with the disk, for people.
	Notes []string `json:"notes,omitempty"`
}

// A Volume is a disk or a partition, and the file system in it.
type Volume struct {
	Partition int    `json:"partition,omitempty"` // from 1; 0 for the whole disk
	Start     int64  `json:"start"`
	Size      int64  `json:"size"`
	Missing   int64  `json:"missing,omitempty"` // bytes of the size that are past the end of the disk
	Kind      string `json:"kind"`              // such as "ext4" or "partition table (GPT)"; empty if unknown
	Label     string `json:"label,omitempty"`   // of a file system
}

// String describes v for people.
func (v Volume) String() string {
	kind := cmp.Or(v.Kind, "unknown")
	if v.Label != "" {
		kind += fmt.Sprintf(" %q", v.Label)
	}
	if v.Partition == 0 {
		return kind
	}
	text := fmt.Sprintf("partition %d: %s, %s", v.Partition, humanize.IBytes(uint64(v.Size)), kind)
	if v.Missing > 0 {
		text += fmt.Sprintf(", %s of it past the end of the image", humanize.IBytes(uint64(v.Missing)))
	}
	return text
}

// Read returns what is on the disk of size bytes in r. With an error it returns
// what it found before.
func Read(r io.ReaderAt, size int64) (Disk, error) {
	p := probe{r: r, size: size}
	whole := Volume{Size: size}
	whole.Kind, whole.Label = p.fileSystem(0)
	t := p.table(whole.Kind == "" || strings.HasPrefix(whole.Kind, "iso"))
	if t.kind != "" {
		if whole.Kind != "" {
			whole.Kind += ", "
		}
		whole.Kind += "partition table (" + t.kind + ")"
	}
	for i := range t.parts {
		v := &t.parts[i]
		v.Missing = min(max(v.Start+v.Size-size, 0), v.Size)
		v.Kind, v.Label = p.fileSystem(v.Start)
	}
	return Disk{append([]Volume{whole}, t.parts...), t.block, t.notes}, p.err
}

// IsDisk reports whether r has a partition table or a file system.
func IsDisk(r io.ReaderAt, size int64) bool {
	d, _ := Read(r, size)
	return d.Volumes[0].Kind != ""
}

// A probe reads a disk. Past its end, and after an error, it reads zeros.
type probe struct {
	r    io.ReaderAt
	size int64
	err  error
}

func (p *probe) at(off, n int64) []byte {
	b := make([]byte, n)
	if p.err != nil || off < 0 || off > p.size-n {
		return b
	}
	if k, err := p.r.ReadAt(b, off); int64(k) < n {
		p.err = err
		return make([]byte, n)
	}
	return b
}
