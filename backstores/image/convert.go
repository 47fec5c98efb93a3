package image

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"os"
	"strings"

	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/hint"
)

// A candidate is a file that has a signature, for the commands that make a disk
// of it. A command names the format that was found, so that no other program
// detects another. Its output has a name that no file has. It contains no name
// that the file holds: the maker of the file chose that.
type candidate struct {
	path string
	sectors
	file io.ReaderAt
	size int64
}

// one returns the command with these words.
func one(words ...string) []hint.Command { return []hint.Command{{Words: words}} }

// convert returns a function for the command by which QEMU makes a raw image
// from this format.
func convert(format string) func(*candidate) []hint.Command {
	return func(c *candidate) []hint.Command {
		return one("qemu-img", "convert", "-f", format, "-O", "raw", plain(c.path), plain(hint.Free(rawName(c.path))))
	}
}

// describe is for an image that names a backing file, which qemu-img convert
// would read: it might be any file of this machine. qemu-img info does not open
// it.
func describe(format string) func(*candidate) []hint.Command {
	return func(c *candidate) []hint.Command {
		return []hint.Command{{Words: []string{"qemu-img", "info", "-f", format, plain(c.path)}, Purpose: "to see which"}}
	}
}

// show is for a text that names files.
func show(c *candidate) []hint.Command {
	return []hint.Command{{Words: []string{"cat", "-v", plain(c.path)}, Purpose: "to see which"}}
}

// aVMDK is a VMDK image that is not stream-optimized, or needs another.
var aVMDK = signature{name: "a VMDK image", try: convertVMDK}

// convertVMDK returns no command for an image that needs a parent, or for a header
// without a disk, which makes QEMU open the files that the descriptor names.
func convertVMDK(c *candidate) []hint.Command {
	if len(c.head) < sectorBytes || begins("KDMV")(c.sectors) && binary.LittleEndian.Uint64(c.head[12:]) == 0 || hasParentVMDK(c) {
		return nil
	}
	return convert("vmdk")(c)
}

// hasParentVMDK reports whether the descriptor of an image names a parent. QEMU reads
// the descriptor from byte 512, or from where the header says.
func hasParentVMDK(c *candidate) bool {
	const descriptor = 64 << 10 // QEMU reads 10 KiB
	places := []int64{sectorBytes}
	if at := binary.LittleEndian.Uint64(c.head[28:]); begins("KDMV")(c.sectors) && at > 0 && at < uint64(c.size)/sectorBytes {
		places = append(places, int64(at)*sectorBytes)
	}
	for _, at := range places {
		text, err := io.ReadAll(io.NewSectionReader(c.file, at, descriptor))
		if err != nil || bytes.Contains(text, []byte("parentFileNameHint")) {
			return true
		}
	}
	return false
}

// start returns what the header of an overlay takes at most.
func (c *candidate) start() []byte {
	head, _ := io.ReadAll(io.NewSectionReader(c.file, 0, overlay.HeaderBytes))
	return head
}

// baseOf returns the name of the base in the header of an overlay.
func baseOf(c *candidate) string {
	return cmp.Or(overlay.BaseOf(c.start()), "an unknown base")
}

// serveOverlay is the command that serves an overlay with its base. Its header
// names a base, which may be any file of this machine.
func serveOverlay(c *candidate) []hint.Command {
	return one("lunserve", "BASE", "--overlay", plain(c.path))
}

// decompress returns a function for the command that decompresses a file. If
// that makes a tar archive, the command extracts its members as well.
func decompress(words ...string) func(*candidate) []hint.Command {
	return func(c *candidate) []hint.Command {
		if tar := c.inside(); tar != nil {
			return untar(tar)
		}
		return []hint.Command{{Words: append(words[:len(words):len(words)], plain(c.path)), Output: plain(hint.Free(innerName(c.path)))}}
	}
}

// untar extracts the members of an archive to a new folder or, if there is only
// one, writes that to a file. tar finds out how the archive is compressed.
func untar(c *candidate) []hint.Command {
	const disk = "disk.raw" // as Google Cloud requires
	if bytes.HasPrefix(c.head, []byte(disk+"\x00")) {
		return []hint.Command{{Words: []string{"tar", "-xOf", plain(c.path), disk}, Output: plain(hint.Free(tarName(c.path)))}}
	}
	return one("tar", "-xf", plain(c.path), "--one-top-level="+hint.Free(folderName(c.path)))
}

// unzip extracts the members of an archive to a new folder or, if there is only
// one, writes that to a file. The last 22 bytes of an archive without a comment
// count its members.
func unzip(c *candidate) []hint.Command {
	if n := len(c.tail); n >= 22 && string(c.tail[n-22:n-18]) == "PK\x05\x06" && binary.LittleEndian.Uint16(c.tail[n-12:]) == 1 {
		return []hint.Command{{Words: []string{"unzip", "-p", plain(c.path)}, Output: plain(hint.Free(innerName(c.path)))}}
	}
	return one("unzip", "-q", plain(c.path), "-d", plain(hint.Free(folderName(c.path))))
}

// extract returns a function for the command that extracts the members of an
// archive to a new folder, given a function for the words before the archive.
func extract(to func(dir string) []string) func(*candidate) []hint.Command {
	return func(c *candidate) []hint.Command {
		return one(append(to(hint.Free(folderName(c.path))), plain(c.path))...)
	}
}

// serveMapped is the command that serves the image that a block map describes:
// it has the same name without .bmap.
func serveMapped(c *candidate) []hint.Command {
	path := strings.TrimSuffix(c.path, ".bmap")
	if _, err := os.Stat(path); path == c.path || err != nil {
		return nil
	}
	return one("lunserve", plain(path))
}
