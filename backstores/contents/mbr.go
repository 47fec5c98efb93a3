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
	entry := func(b []byte, i int) (kind byte, start, size int64) {
		e := b[446+16*i:]
		return e[4], int64(binary.LittleEndian.Uint32(e[8:])) * block, int64(binary.LittleEndian.Uint32(e[12:])) * block
	}
	b := p.at(0, 512)
	if b[510] != 0x55 || b[511] != 0xaa {
		return mbr{}
	}
	var extended int64
	for i := range 4 {
		if b[446+16*i]&0x7f != 0 { // neither active (0x80) nor inactive (0)
			return mbr{}
		}
		kind, start, size := entry(b, i)
		if kind == 0 || size == 0 || start == 0 {
			continue
		}
		m.protective = m.protective || kind == 0xee
		m.parts = append(m.parts, Volume{Partition: i + 1, Start: start, Size: size})
		if isExtended(kind) {
			extended = start
		}
	}
	if len(m.parts) == 0 {
		return mbr{}
	}
	m.kind = "MBR"
	if block != 512 {
		m.block = int(block)
	}
	// The table of each logical partition points to the next.
	for at, n := extended, 5; extended > 0 && n < maxPartitions; n++ {
		b := p.at(at, 512)
		if b[510] != 0x55 || b[511] != 0xaa {
			break
		}
		if kind, start, size := entry(b, 0); kind != 0 && size > 0 {
			m.parts = append(m.parts, Volume{Partition: n, Start: at + start, Size: size})
		}
		kind, start, _ := entry(b, 1)
		if !isExtended(kind) || start == 0 {
			break
		}
		at = extended + start
	}
	return m
}

func isExtended(kind byte) bool { return kind == 5 || kind == 15 || kind == 0x85 }
