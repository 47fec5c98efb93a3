package image

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/lunserve/lunserve/backstores/qcow2"
)

func begins(magic string) func(sectors) bool {
	return func(s sectors) bool { return bytes.HasPrefix(s.head, []byte(magic)) }
}

// isQcow looks for an image of QEMU of the first version.
func isQcow(s sectors) bool { return qcow2.Version(s.head) == 1 }

func isQcowWithBacking(s sectors) bool { return isQcow(s) && qcow2.HasBacking(s.head) }

// isQEDWithBacking looks for QED_F_BACKING_FILE.
func isQEDWithBacking(s sectors) bool {
	return begins("QED\x00")(s) && len(s.head) >= 24 && s.head[16]&1 != 0
}

func isVDI(s sectors) bool {
	return len(s.head) >= 0x50 && binary.LittleEndian.Uint32(s.head[0x40:]) == 0xbeda107f
}

// isDifferencingVDI looks for a type other than dynamic and fixed.
func isDifferencingVDI(s sectors) bool {
	return isVDI(s) && !slices.Contains([]uint32{1, 2}, binary.LittleEndian.Uint32(s.head[0x4c:]))
}

// isVHD reports whether p is the footer of a VHD. Dynamic ones have a copy of it
// at the start. The checksum is the complement of the sum of the other bytes.
func isVHD(p []byte) bool {
	if len(p) != sectorBytes || string(p[:8]) != "conectix" {
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

func isDifferencingVHD(footer []byte) bool { return binary.BigEndian.Uint32(footer[60:]) == 4 }

// isDMG looks for the trailer of an image of macOS: version 4, of 512 bytes.
func isDMG(s sectors) bool {
	return len(s.tail) == sectorBytes && string(s.tail[:12]) == "koly\x00\x00\x00\x04\x00\x00\x02\x00"
}

// isZstd looks for a frame, which may be skippable (RFC 8878 §3.1). Nothing but
// zstd is known to begin with a skippable frame.
func isZstd(s sectors) bool {
	if len(s.head) < 8 {
		return false
	}
	magic := binary.LittleEndian.Uint32(s.head)
	return magic == 0xFD2FB528 || magic&^0xf == 0x184D2A50
}

// isOldZstd looks for the frames of version 0.1 to 0.7.
func isOldZstd(s sectors) bool {
	if len(s.head) < 8 {
		return false
	}
	magic := binary.LittleEndian.Uint32(s.head)
	return magic >= 0xFD2FB522 && magic <= 0xFD2FB527 || magic == 0x1EB52FFD
}

// isGzip looks for deflate and no reserved flags (RFC 1952 §2.3).
func isGzip(s sectors) bool {
	return len(s.head) > 10 && string(s.head[:3]) == "\x1f\x8b\x08" && s.head[3]&0xe0 == 0
}

func isBzip2(s sectors) bool {
	return len(s.head) > 10 && string(s.head[:3]) == "BZh" && s.head[3] >= '1' && s.head[3] <= '9' && string(s.head[4:10]) == "1AY&SY"
}

// isLzma looks for a header that xz takes for one: the default properties, a
// dictionary of 2^n or 2^n + 2^(n-1) bytes, and an unknown or likely size. The
// first byte of the range coder is 0.
func isLzma(s sectors) bool {
	if len(s.head) < 14 || s.head[0] != 0x5d || s.head[13] != 0 {
		return false
	}
	dictionary, size := uint64(binary.LittleEndian.Uint32(s.head[1:])), binary.LittleEndian.Uint64(s.head[5:])
	for n := 12; n <= 30; n++ {
		if dictionary == 1<<n || dictionary == 3<<(n-1) {
			return size == 1<<64-1 || size > 0 && size < 1<<38
		}
	}
	return false
}

// isTar looks for the header of a member: a name, and the checksum of the
// header, in which the checksum itself counts as blanks (POSIX, ustar
// Interchange Format). Archives from before POSIX have no magic.
func isTar(s sectors) bool {
	if len(s.head) != sectorBytes || s.head[0] == 0 {
		return false
	}
	want, err := strconv.ParseUint(strings.Trim(string(s.head[148:156]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	var sum uint64
	for i, b := range s.head {
		if i >= 148 && i < 156 {
			b = ' '
		}
		sum += uint64(b)
	}
	return sum == want
}

// isZip looks for a local file header, for one of a split archive, or for an
// empty archive.
func isZip(s sectors) bool {
	return len(s.head) >= 30 && (begins("PK\x03\x04")(s) || begins("PK\x07\x08PK\x03\x04")(s)) ||
		len(s.head) == 22 && begins("PK\x05\x06")(s)
}

// isBlockMap looks for the XML of bmaptool.
func isBlockMap(s sectors) bool {
	return begins("<?xml")(s) && bytes.Contains(s.head, []byte("<bmap "))
}

func isHTML(s sectors) bool {
	text := strings.ToLower(strings.TrimLeft(string(s.head), "\ufeff \t\r\n"))
	return strings.HasPrefix(text, "<!doctype html") || strings.HasPrefix(text, "<html")
}
