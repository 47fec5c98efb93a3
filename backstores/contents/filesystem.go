package contents

import (
	"encoding/binary"
	"strings"
)

// fileSystem recognizes a file system, or similar, that begins at off.
func (p *probe) fileSystem(off int64) (kind, label string) {
	first, ext := p.at(off, 512), p.at(off+1024, 1024)
	switch {
	case string(first[:4]) == "XFSB":
		return "xfs", text(first[108:120])
	case isExt(ext):
		return extKind(ext), text(ext[0x78:0x88])
	case string(first[:6]) == "LUKS\xba\xbe":
		return "LUKS", ""
	case string(first[:4]) == "hsqs":
		return "squashfs", ""
	case binary.LittleEndian.Uint32(ext) == 0xe0f5e1e2:
		return "erofs", ""
	case binary.LittleEndian.Uint32(ext) == 0xf2f52010:
		return "f2fs", ""
	case !isBoot(first):
	case string(first[3:11]) == "NTFS    ":
		return "ntfs", ""
	case string(first[3:11]) == "EXFAT   ":
		return "exfat", ""
	case string(first[82:87]) == "FAT32":
		return "vfat", text(first[71:82])
	case string(first[54:58]) == "FAT1":
		return "vfat", text(first[43:54])
	}
	if b := p.at(off+64<<10, 1024); string(b[0x40:0x48]) == "_BHRfS_M" {
		return "btrfs", text(b[0x12b : 0x12b+256])
	}
	if b := p.at(off+32<<10, 512); string(b[1:6]) == "CD001" {
		return "iso9660", text(b[40:72])
	}
	for sector := int64(0); sector < 4; sector++ {
		// The label holds the number of its sector.
		if b := p.at(off+sector*512, 512); string(b[:8]) == "LABELONE" && binary.LittleEndian.Uint64(b[8:]) == uint64(sector) {
			return "LVM physical volume", ""
		}
	}
	if b := p.at(off+4086, 10); string(b) == "SWAPSPACE2" {
		return "swap", ""
	}
	return "", ""
}

func text(b []byte) string { return strings.TrimRight(strings.TrimRight(string(b), "\x00"), " ") }

// isBoot reports whether a sector begins with a jump and ends with a boot
// signature, as those of FAT and NTFS do.
func isBoot(b []byte) bool {
	return (b[0] == 0xeb || b[0] == 0xe9) && b[510] == 0x55 && b[511] == 0xaa
}

// isExt reports whether b is the superblock of ext2, ext3 or ext4. Its magic
// number has two bytes only: an archive may have them there by accident.
func isExt(b []byte) bool {
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	logBlock := u32(0x18)
	return binary.LittleEndian.Uint16(b[0x38:]) == 0xef53 &&
		u32(0) > 0 && u32(4) > 0 && // inodes, blocks
		u32(0x14) <= 1 && logBlock <= 6 && // s_first_data_block, s_log_block_size
		u32(0x20) > 0 && u32(0x28) > 0 && // blocks and inodes of a group
		u32(0x4c) <= 1 // s_rev_level
}

func extKind(b []byte) string {
	const hasJournal, extents, bits64 = 0x4, 0x40, 0x80
	compat, incompat := binary.LittleEndian.Uint32(b[0x5c:]), binary.LittleEndian.Uint32(b[0x60:])
	switch {
	case incompat&(extents|bits64) != 0:
		return "ext4"
	case compat&hasJournal != 0:
		return "ext3"
	}
	return "ext2"
}
