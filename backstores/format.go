package backstores

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The formats of [Options]. Auto, which is also the empty one, goes by content.
const (
	Auto   = "auto"
	Raw    = "raw"
	Sparse = "sparse"
	Zstd   = "zstd"
	Simg   = "simg" // Android sparse
)

// A container is a format that holds a disk and is not served. It is told by
// what cannot be there by accident: served as raw it would be a disk of
// nonsense, and written to it would be ruined.
type container struct {
	name string
	is   func(head, tail []byte) bool // of the file, 512 bytes or less of each
	try  func(path string) string     // what makes it servable
}

var containers = []container{
	{"an overlay", isOverlay, overItsBase},
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

// detect tells the format of the file or device at path. What cannot be read
// counts as raw: the error of opening it says why.
func detect(path string, mode uint32, want string) (string, error) {
	switch want {
	case Auto, "":
	case Raw, Sparse, Zstd, Simg:
		return want, nil
	default:
		return "", fmt.Errorf("%s: no format %q; try --format auto", path, want)
	}
	fd, err := openMode(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return Raw, nil
	}
	f := os.NewFile(uintptr(fd), path)
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
			return "", fmt.Errorf("%s: is %s; try %s", path, c.name, c.try(path))
		}
	}
	if isSimg(head) {
		return Simg, nil
	}
	if !isZstd(f, end) {
		return Raw, nil
	}
	if isBlock(mode) {
		return "", fmt.Errorf("%s: holds zstd data, which is served from a file only; try --format raw to serve it as it is", path)
	}
	return Zstd, nil
}

func begins(magic string) func(head, tail []byte) bool {
	return func(head, _ []byte) bool { return strings.HasPrefix(string(head), magic) }
}

func isVDI(head, _ []byte) bool {
	return len(head) >= 0x44 && binary.LittleEndian.Uint32(head[0x40:]) == 0xbeda107f
}

// isVHD tells whether p is the footer of a VHD, which dynamic ones have at the
// start too. The checksum is the complement of the sum of the other bytes.
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

// isGzip: deflate, and no flags that do not exist (RFC 1952 §2.3).
func isGzip(head, _ []byte) bool {
	return len(head) > 10 && string(head[:3]) == "\x1f\x8b\x08" && head[3]&0xe0 == 0
}

func isBzip2(head, _ []byte) bool {
	return len(head) > 10 && string(head[:3]) == "BZh" && head[3] >= '1' && head[3] <= '9' && string(head[4:10]) == "1AY&SY"
}

// isZstd finds a frame, perhaps after some skippable ones (RFC 8878 §3.1).
// Those by themselves may be of another format.
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

// isOverlay tells a QCOW2 image that we made by what comes after its header.
func isOverlay(head, tail []byte) bool {
	return begins("QFI\xfb")(head, tail) && len(head) > qcowHeaderSize+4 &&
		binary.BigEndian.Uint32(head[qcowHeaderSize:]) == recordType
}

// overItsBase is the command that serves an overlay.
func overItsBase(path string) string {
	base := "BASE"
	if b, err := readStart(path, 16<<10); err == nil {
		if h, err := parseHeader(b); err == nil {
			base = h.base
		}
	}
	return "lunserve " + quote(base) + " --overlay " + quote(path)
}

func readStart(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, n))
}

// convert is the command that makes a raw image of one that QEMU knows.
func convert(path string) string {
	return "qemu-img convert -O raw " + quote(path) + " " + quote(rawName(path))
}

// pipe is the command that makes a raw image of a compressed one.
func pipe(cat string) func(string) string {
	return func(path string) string { return cat + " " + quote(path) + " >" + quote(rawName(path)) }
}

// rawName is a name for the raw image of what is at path.
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
