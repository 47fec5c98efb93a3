package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// samples returns sectors that look like each of the formats.
func samples() (heads, tails [][]byte) {
	sector := func(at int, text string) []byte {
		p := make([]byte, sectorBytes)
		copy(p[at:], text)
		return p
	}
	for _, magic := range []string{
		"QFI\xfb\x00\x00\x00\x03", "QFI\xfb\x00\x00\x00\x02", "QFI\xfb\x00\x00\x00\x01", "QFI\xfb\x00\x00\x00\x09",
		"QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x01", "QFI\xfb\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01",
		"QED\x00", "KDMV", "COWD", "# Disk DescriptorFile", "vhdxfile", "WithoutFreeSpace", "WithouFreSpacExt",
		"\x28\xb5\x2f\xfd", "\x5f\x2a\x4d\x18", "\x27\xb5\x2f\xfd", "\xfd\x2f\xb5\x1e", "\x3a\xff\x26\xed", "\x1f\x8b\x08",
		"\xfd7zXZ\x00", "BZh91AY&SY", "\x04\x22\x4d\x18", "\x02\x21\x4c\x18", "\x89LZO\x00\r\n\x1a\n", "LZIP\x01", "LRZI\x00",
		"\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", "\x1f\x9d\x90", "PK\x03\x04", "7z\xbc\xaf\x27\x1c", "Rar!\x1a\x07",
		"MSCF", "xar!", "MSWIM", "070701", "070702", "070707", "!<arch>\n", "\xed\xab\xee\xdb", "<?xml ?>\n<bmap ", "<?xml",
		"\ufeff\n<html", "-----BEGIN PGP", "version https://git-lfs.github.com/spec/",
	} {
		heads = append(heads, sector(0, magic))
	}
	qed, ours, data := sector(0, "QED\x00"), sector(0, "QFI\xfb\x00\x00\x00\x03"), sector(0, "QFI\xfb\x00\x00\x00\x03")
	qed[16], data[79] = 1, 4
	binary.BigEndian.PutUint32(ours[104:], 0x6c756e73)
	vdi := sector(0x40, "\x7f\x10\xda\xbe")
	vdi[0x4c] = 1
	tar := sector(0, "disk.raw")
	sum := 8 * int(' ')
	for _, b := range tar {
		sum += int(b)
	}
	copy(tar[148:], fmt.Sprintf("%06o\x00 ", sum))
	stream := sector(12, "\x01") // a disk
	copy(stream, "KDMV\x03\x00\x00\x00\x00\x00\x03\x00")
	heads = append(heads, qed, ours, data, stream, vdi, sector(0x40, "\x7f\x10\xda\xbe"), tar)
	for _, kind := range []byte{2, 3, 4} {
		vhd := sector(0, "conectix")
		vhd[63] = kind
		var sum uint32
		for _, b := range vhd {
			sum += uint32(b)
		}
		binary.BigEndian.PutUint32(vhd[64:], ^sum)
		heads, tails = append(heads, vhd), append(tails, vhd)
	}
	return heads, append(tails, sector(0, "koly\x00\x00\x00\x04\x00\x00\x02\x00"))
}

// The property test of raw images uses the samples, so there is one for each
// signature.
func TestEachSignatureHasASample(t *testing.T) {
	heads, tails := samples()
	seen := map[*signature]bool{}
	for _, p := range heads {
		seen[look(sectors{p, nil})] = true
	}
	for _, p := range tails {
		seen[look(sectors{nil, p})] = true
	}
	for i := range signatures {
		if s := &signatures[i]; !seen[s] {
			t.Errorf("no sample of %s (row %d)", s.name, i)
		}
	}
	if seen[nil] {
		for i, p := range heads {
			if look(sectors{p, nil}) == nil {
				t.Errorf("sample %d, %q, looks like nothing", i, p[:16])
			}
		}
	}
}

// What a file looks like depends on each sector alone: a write that is torn
// between them is no third state.
func FuzzLookIsDecidedByEachSectorAlone(f *testing.F) {
	heads, tails := samples()
	for i, p := range heads {
		f.Add(p, tails[i%len(tails)])
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		head, tail = head[:min(len(head), sectorBytes)], tail[:min(len(tail), sectorBytes)]
		both := look(sectors{head, tail})
		first, last := look(sectors{head, nil}), look(sectors{nil, tail})
		if (both == nil) != (first == nil && last == nil) {
			t.Errorf("both %v, first %v, last %v", both, first, last)
		}
		if both != nil {
			c := &candidate{path: "disk.img", sectors: sectors{head, tail}, file: bytes.NewReader(head), size: int64(len(head))}
			_ = fmt.Sprint(refuse(c, both))
		}
	})
}
