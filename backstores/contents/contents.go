// Package contents finds partitions and file systems in the first sectors of a
// disk.
//
// Any package may import it. It imports no other package of lunserve, and never
// writes.
package contents

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
)

// A Volume is a disk or a partition, and the file system in it.
type Volume struct {
	Partition int    `json:"partition,omitempty"` // from 1; 0 for the whole disk
	Start     int64  `json:"start"`
	Size      int64  `json:"size"`
	Kind      string `json:"kind"`            // such as "ext4" or "partition table (GPT)"; empty if unknown
	Label     string `json:"label,omitempty"` // of a file system
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
	return fmt.Sprintf("partition %d: %s, %s", v.Partition, humanize.IBytes(uint64(v.Size)), kind)
}

// Volumes returns the disk of size bytes in r and, if it has a partition table,
// its partitions. With an error it returns what it found before.
func Volumes(r io.ReaderAt, size int64) ([]Volume, error) {
	p := probe{r: r, size: size}
	whole := Volume{Size: size}
	whole.Kind, whole.Label = p.fileSystem(0)
	if whole.Kind != "" && p.err == nil && !strings.HasPrefix(whole.Kind, "iso") {
		return []Volume{whole}, nil
	}
	parts, table := p.gpt(), "GPT"
	if parts == nil {
		parts, table = p.mbr(), "MBR"
	}
	if parts != nil {
		if whole.Kind != "" {
			whole.Kind += ", "
		}
		whole.Kind += "partition table (" + table + ")"
	}
	for i := range parts {
		parts[i].Kind, parts[i].Label = p.fileSystem(parts[i].Start)
	}
	return append([]Volume{whole}, parts...), p.err
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

// fileSystem recognizes a file system, or similar, that begins at off.
func (p *probe) fileSystem(off int64) (kind, label string) {
	text := func(b []byte) string { return strings.TrimRight(strings.TrimRight(string(b), "\x00"), " ") }
	first, ext := p.at(off, 512), p.at(off+1024, 1024)
	switch {
	case string(first[:4]) == "XFSB":
		return "xfs", text(first[108:120])
	case binary.LittleEndian.Uint16(ext[0x38:]) == 0xef53:
		const hasJournal, extents, bits64 = 0x4, 0x40, 0x80
		compat, incompat := binary.LittleEndian.Uint32(ext[0x5c:]), binary.LittleEndian.Uint32(ext[0x60:])
		kind := "ext2"
		if incompat&(extents|bits64) != 0 {
			kind = "ext4"
		} else if compat&hasJournal != 0 {
			kind = "ext3"
		}
		return kind, text(ext[0x78:0x88])
	case string(first[:6]) == "LUKS\xba\xbe":
		return "LUKS", ""
	case string(first[3:11]) == "NTFS    ":
		return "ntfs", ""
	case string(first[3:11]) == "EXFAT   ":
		return "exfat", ""
	case string(first[:4]) == "hsqs":
		return "squashfs", ""
	case string(first[82:87]) == "FAT32":
		return "vfat", text(first[71:82])
	case string(first[54:58]) == "FAT1":
		return "vfat", text(first[43:54])
	case binary.LittleEndian.Uint32(ext) == 0xe0f5e1e2:
		return "erofs", ""
	case binary.LittleEndian.Uint32(ext) == 0xf2f52010:
		return "f2fs", ""
	}
	if b := p.at(off+64<<10, 1024); string(b[0x40:0x48]) == "_BHRfS_M" {
		return "btrfs", text(b[0x12b : 0x12b+256])
	}
	if b := p.at(off+32<<10, 512); string(b[1:6]) == "CD001" {
		return "iso9660", text(b[40:72])
	}
	for sector := int64(0); sector < 4; sector++ {
		if b := p.at(off+sector*512, 512); string(b[:8]) == "LABELONE" {
			return "LVM physical volume", ""
		}
	}
	if b := p.at(off+4086, 10); string(b) == "SWAPSPACE2" {
		return "swap", ""
	}
	return "", ""
}

const maxPartitions = 128

// gpt returns the partitions of a GUID partition table (UEFI specification, GPT
// Header) for blocks of 512 or 4096 bytes, or nil if there is none.
func (p *probe) gpt() []Volume {
	for _, block := range []int64{512, 4096} {
		h := p.at(block, 92)
		entry := int64(binary.LittleEndian.Uint32(h[84:]))
		if string(h[:8]) != "EFI PART" || entry < 128 || entry > 4096 {
			continue
		}
		at, n := int64(binary.LittleEndian.Uint64(h[72:])), int64(binary.LittleEndian.Uint32(h[80:]))
		if at < 0 || at > p.size/block {
			continue
		}
		parts := []Volume{}
		for i := range min(n, maxPartitions) {
			e := p.at(at*block+i*entry, 48)
			first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
			if string(e[:16]) != string(make([]byte, 16)) && first <= last && last < uint64(p.size/block) {
				parts = append(parts, Volume{Partition: int(i) + 1, Start: int64(first) * block, Size: int64(last-first+1) * block})
			}
		}
		return parts
	}
	return nil
}

// mbr returns the primary and logical partitions of a DOS partition table, or nil
// if there is none.
func (p *probe) mbr() []Volume {
	b := p.at(0, 512)
	if b[510] != 0x55 || b[511] != 0xaa {
		return nil
	}
	var parts []Volume
	isExtended := func(kind byte) bool { return kind == 5 || kind == 15 || kind == 0x85 }
	read := func(b []byte, i int) (kind byte, start, size int64) {
		e := b[446+16*i:]
		return e[4], int64(binary.LittleEndian.Uint32(e[8:])) * 512, int64(binary.LittleEndian.Uint32(e[12:])) * 512
	}
	var extended int64
	for i := range 4 {
		kind, start, size := read(b, i)
		if b[446+16*i]&0x7f != 0 { // neither active (0x80) nor inactive (0)
			return nil
		}
		if kind == 0 || size == 0 || start == 0 {
			continue
		}
		parts = append(parts, Volume{Partition: i + 1, Start: start, Size: size})
		if isExtended(kind) {
			extended = start
		}
	}
	// The table of each logical partition points to the next.
	for at, n := extended, 5; extended > 0 && n < maxPartitions; n++ {
		b := p.at(at, 512)
		if b[510] != 0x55 || b[511] != 0xaa {
			break
		}
		if kind, start, size := read(b, 0); kind != 0 {
			parts = append(parts, Volume{Partition: n, Start: at + start, Size: size})
		}
		kind, start, _ := read(b, 1)
		if !isExtended(kind) || start == 0 {
			break
		}
		at = extended + start
	}
	return parts
}
