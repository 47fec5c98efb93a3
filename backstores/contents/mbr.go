package contents

import (
	"encoding/binary"
	"slices"
)

// An mbr is a DOS partition table.
type mbr struct {
	table
	protective bool // it has an entry for a GPT
}

// mbr finds a DOS partition table. It does not say what its blocks are: they
// have 4096 bytes if only then the partitions hold something.
func (p *probe) mbr() mbr {
	m := p.mbrOf(512)
	if m.kind != "" && !m.protective && !p.known(m.parts) {
		if large := p.mbrOf(4096); p.known(large.parts) {
			return large
		}
	}
	return m
}

// known reports whether one of the partitions has a file system.
func (p *probe) known(parts []Volume) bool {
	return slices.ContainsFunc(parts, func(v Volume) bool {
		kind, _ := p.fileSystem(v.Start)
		return kind != ""
	})
}

// mbrOf returns the primary and logical partitions of a DOS partition table for
// blocks of this size.
func (p *probe) mbrOf(block int64) (m mbr) {
	b := p.at(0, 512)
	if b[510] != 0x55 || b[511] != 0xaa {
		return mbr{}
	}
	var logical []Volume
	for i := range 4 {
		if b[446+16*i]&0x7f != 0 { // neither active (0x80) nor inactive (0)
			return mbr{}
		}
		kind, start, size := dosEntry(b, i, block)
		if kind == 0 || size == 0 || start == 0 {
			continue
		}
		m.protective = m.protective || kind == 0xee
		m.parts = append(m.parts, Volume{Partition: i + 1, Start: start, Size: size})
		if isExtended(kind) {
			logical = p.logical(logical, start, size, block)
		}
	}
	if len(m.parts) == 0 {
		return mbr{}
	}
	m.kind = "MBR"
	if block != 512 {
		m.block = int(block)
	}
	m.parts = append(m.parts, logical...)
	return m
}

// dosEntry returns an entry of a table.
func dosEntry(b []byte, i int, block int64) (kind byte, start, size int64) {
	e := b[446+16*i:]
	return e[4], int64(binary.LittleEndian.Uint32(e[8:])) * block, int64(binary.LittleEndian.Uint32(e[12:])) * block
}

// logical adds the partitions in an extended one to those before it, with the numbers
// that Linux gives them (parse_extended in block/partitions/msdos.c): a table without a
// partition has none, and one may have several. Each table points to the next.
func (p *probe) logical(all []Volume, first, size, block int64) []Volume {
	const emptyInSuccession = 100
	at, room := first, size
	for empty := 0; empty < emptyInSuccession; {
		b := p.at(at, 512)
		if b[510] != 0x55 || b[511] != 0xaa {
			break
		}
		empty++
		next, nextSize := int64(0), int64(0)
		for i := range 4 {
			kind, off, n := dosEntry(b, i, block)
			start := at + off
			switch {
			case n == 0:
			case isExtended(kind):
				if nextSize == 0 {
					next, nextSize = first+off, n
				}
			case i >= 2 && (off+n > room || start < first || start+n > first+size): // garbage
			case len(all) < maxPartitions-5:
				all = append(all, Volume{Partition: 5 + len(all), Start: start, Size: n})
				empty = 0
			default:
				return all
			}
		}
		if nextSize == 0 {
			break
		}
		at, room = next, nextSize
	}
	return all
}

func isExtended(kind byte) bool { return kind == 5 || kind == 15 || kind == 0x85 }
