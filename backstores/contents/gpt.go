package contents

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// A gptHeader is a header of a GUID partition table whose checksum is right, and
// its entries (UEFI specification, GPT Header).
type gptHeader struct {
	block     int64
	alternate int64 // LBA of the other header
	entries   []byte
	entry     int // size of an entry
	sum       uint32
	id        [16]byte
}

// maxEntries is the longest array of entries that is read. It has 16 KiB.
const maxEntries = 1 << 20

// gptAt reads the header at an LBA. damaged is set if there is one whose
// checksum, or that of its entries, is wrong.
func (p *probe) gptAt(lba, block int64) (h *gptHeader, damaged bool) {
	b := p.at(lba*block, 512)
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if string(b[:8]) != "EFI PART" || lba < 1 {
		return nil, false
	}
	n, sum := u32(b[12:]), u32(b[16:])
	if n < 92 || n > 512 || u64(b[24:]) != uint64(lba) {
		return nil, true
	}
	clear(b[16:20])
	count, entry, at := u32(b[80:]), u32(b[84:]), u64(b[72:])
	if crc32.ChecksumIEEE(b[:n]) != sum || entry < 128 || uint64(entry)*uint64(count) > maxEntries || at > math.MaxInt64/uint64(block) {
		return nil, true
	}
	h = &gptHeader{block: block, alternate: int64(min(u64(b[32:]), math.MaxInt64)), entry: int(entry), sum: u32(b[88:]), id: [16]byte(b[56:72])}
	h.entries = p.at(int64(at)*block, int64(entry)*int64(count))
	if crc32.ChecksumIEEE(h.entries) != h.sum {
		return nil, true
	}
	return h, false
}

// gpt finds a GUID partition table for blocks of 512 or 4096 bytes. If the first
// header is lost, that at the end of the disk counts.
func (p *probe) gpt() (t table) {
	damaged := false
	for _, block := range []int64{512, 4096} {
		first, bad := p.gptAt(1, block)
		damaged = damaged || bad
		last, _ := p.gptAt(p.size/block-1, block)
		switch {
		case first != nil:
			t = table{kind: "GPT", block: int(block), parts: first.volumes()}
			p.compareCopy(&t, first, last)
			return t
		case last != nil:
			t = table{kind: "GPT", block: int(block), parts: last.volumes()}
			t.note("the first header of the GPT is missing or damaged; its copy at the end is right")
			return t
		}
	}
	if damaged {
		t.kind = "GPT, damaged"
		t.note("the GPT is damaged, and no copy of it is at the end")
	}
	return t
}

// compareCopy adds a note if the copy of the table is not as it should be. It is
// at the end, or was before the image was made longer.
func (p *probe) compareCopy(t *table, first, last *gptHeader) {
	if last == nil && first.alternate > 1 {
		last, _ = p.gptAt(first.alternate, first.block)
	}
	switch {
	case last == nil && first.alternate >= p.size/first.block:
		t.note("the copy of the GPT is past the end of the image; was it cut short?")
	case last == nil:
		t.note("the copy of the GPT is missing or damaged")
	case last.sum != first.sum || last.id != first.id:
		t.note("the GPT and its copy differ; the first counts")
	}
}

// volumes returns the partitions.
func (h *gptHeader) volumes() []Volume {
	var parts []Volume
	for i := 0; (i+1)*h.entry <= len(h.entries) && i < maxPartitions; i++ {
		e := h.entries[i*h.entry:]
		first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		if [16]byte(e[:16]) == [16]byte{} || first > last || last >= uint64(math.MaxInt64/h.block) {
			continue
		}
		parts = append(parts, Volume{Partition: i + 1, Start: int64(first) * h.block, Size: int64(last-first+1) * h.block})
	}
	return parts
}
