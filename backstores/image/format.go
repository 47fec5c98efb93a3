package image

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/hint"
)

// A container is a format that holds a disk and is not supported. It is
// detected by bytes that cannot be there by accident. Served as a raw image, it
// would appear as a disk of garbage, and the first write would destroy it.
type container struct {
	name string
	is   func(head, tail []byte) bool // of the file, 512 bytes or less of each
	try  func(path string) hint.Command
}

var containers = []container{
	{"an overlay", func(head, _ []byte) bool { return overlay.IsOverlay(head) }, serveOverlay},
	{"a qcow2 image", begins("QFI\xfb"), convert},
	{"a QED image", begins("QED\x00"), convert},
	{"a VMDK image", begins("KDMV"), convert},
	{"a VMDK image", begins("COWD"), convert},
	{"a VMDK descriptor", begins("# Disk DescriptorFile"), convert},
	{"a VHDX image", begins("vhdxfile"), convert},
	{"a VDI image", isVDI, convert},
	{"a VHD image", func(head, tail []byte) bool { return isVHD(head) || isVHD(tail) }, convert},
	{"compressed with gzip", isGzip, pipe("zcat")},
	{"compressed with xz", begins("\xfd7zXZ\x00"), pipe("xzcat")},
	{"compressed with bzip2", isBzip2, pipe("bzcat")},
	{"compressed with lz4", begins("\x04\x22\x4d\x18"), pipe("lz4cat")},
}

// detect returns the format of the file or device at path. A file that cannot
// be read counts as raw, since opening it returns a better error.
func detect(path string, device bool, want string) (string, error) {
	switch want {
	case Auto, "":
	case Raw, Sparse, Zstd, Simg:
		return want, nil
	default:
		return "", hint.Try(fmt.Errorf("%s: unknown format %q", path, want), "--format", "auto")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return Raw, nil
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Raw, nil
	}
	head, tail := make([]byte, 512), make([]byte, 512)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	n, _ = f.ReadAt(tail, max(0, end-512))
	tail = tail[:n]

	for _, c := range containers {
		if c.is(head, tail) {
			return "", hint.With(fmt.Errorf("%s: is %s", path, c.name), c.try(path))
		}
	}
	if isSimg(head) {
		return Simg, nil
	}
	if !isZstd(f, end) {
		return Raw, nil
	}
	if device {
		return "", hint.With(fmt.Errorf("%s: holds zstd data, which can be served from a file only", path),
			hint.Command{Words: []string{"--format", "raw"}, Purpose: "to serve it as it is"})
	}
	return Zstd, nil
}

func begins(magic string) func(head, tail []byte) bool {
	return func(head, _ []byte) bool { return strings.HasPrefix(string(head), magic) }
}

func isVDI(head, _ []byte) bool {
	return len(head) >= 0x44 && binary.LittleEndian.Uint32(head[0x40:]) == 0xbeda107f
}

// isVHD reports whether p is the footer of a VHD. Dynamic ones have a copy of it
// at the start. The checksum is the complement of the sum of the other bytes.
func isVHD(p []byte) bool {
	if len(p) != 512 || string(p[:8]) != "conectix" {
		return false
	}
	var sum uint32
	for i, b := range p {
		if i < 64 || i >= 68 {
			sum += uint32(b)
		}
	}
	return binary.BigEndian.Uint32(p[64:]) == ^sum
}

// isGzip looks for deflate and no reserved flags (RFC 1952 §2.3).
func isGzip(head, _ []byte) bool {
	return len(head) > 10 && string(head[:3]) == "\x1f\x8b\x08" && head[3]&0xe0 == 0
}

func isBzip2(head, _ []byte) bool {
	return len(head) > 10 && string(head[:3]) == "BZh" && head[3] >= '1' && head[3] <= '9' && string(head[4:10]) == "1AY&SY"
}

// isZstd looks for a frame, possibly after skippable ones (RFC 8878 §3.1).
// Skippable frames alone may belong to another format.
func isZstd(r io.ReaderAt, size int64) bool {
	var p [8]byte
	off := int64(0)
	for range 16 {
		if n, _ := r.ReadAt(p[:], off); n < len(p) {
			return false
		}
		magic := binary.LittleEndian.Uint32(p[:])
		if magic == 0xFD2FB528 {
			return true
		}
		if magic&^0xf != 0x184D2A50 {
			return false
		}
		if off += 8 + int64(binary.LittleEndian.Uint32(p[4:])); off >= size {
			return false
		}
	}
	return false
}

// serveOverlay is the command that serves an overlay with its base.
func serveOverlay(path string) hint.Command {
	base := overlay.BaseOf(readStart(path, 16<<10))
	if base == "" {
		base = "BASE"
	}
	return hint.Command{Words: []string{"lunserve", hint.Path(base), "--overlay", hint.Path(path)}}
}

func readStart(path string, n int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	p, _ := io.ReadAll(io.LimitReader(f, n))
	return p
}

// convert is the command that makes a raw image from a format that QEMU reads.
func convert(path string) hint.Command {
	return hint.Command{Words: []string{"qemu-img", "convert", "-O", "raw", hint.Path(path), hint.Path(hint.Free(rawName(path)))}}
}

// pipe returns a function for the command that decompresses an image.
func pipe(cat string) func(string) hint.Command {
	return func(path string) hint.Command {
		return hint.Command{Words: []string{cat, hint.Path(path)}, Output: hint.Path(hint.Free(rawName(path)))}
	}
}

// rawName returns the usual name of the raw image that is made from path.
func rawName(path string) string {
	name := strings.TrimSuffix(path, filepath.Ext(path))
	if ext := filepath.Ext(name); ext == ".img" || ext == ".raw" {
		return name
	}
	if name+".img" == path || name == "" {
		return name + ".raw"
	}
	return name + ".img"
}

// existsAs is the error of an image that was to be created.
func existsAs(path, format string) error {
	return fmt.Errorf("%s: exists and is a %s file; leave out --size to serve it as it is", path, format)
}
