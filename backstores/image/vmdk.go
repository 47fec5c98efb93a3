package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/decoded"
	"github.com/lunserve/lunserve/backstores/entry"
	"github.com/lunserve/lunserve/hint"
)

// A vmdk is a stream-optimized VMDK image, which VMware, VirtualBox and QEMU export
// and an OVA holds, as VMware's "Virtual Disk Format" specifies it: grains, each
// compressed with zlib. A grain directory has the sector of each grain table, and that
// the sector of each grain. It is read-only.
type vmdk struct {
	*decoded.Cache // of grains
	file           source
	size           int64 // of the disk
	grain          int64 // size of a grain
	zeroEntry      int64 // the sector that stands for a grain of zeros
	directory      []uint32
	tables         []atomic.Pointer[[]uint32] // nil: not read yet
	next           atomic.Int64               // where the last read that succeeded ended
}

const (
	vmdkMinGrain  = 8       // sectors; those programs write grains of 128
	vmdkMaxGrain  = 256     // sectors
	vmdkPerTable  = 512     // grains, says VMware's specification
	vmdkMaxGrains = 8 << 20 // for a disk of 512 GiB; their tables take 32 MiB
	vmdkAtEnd     = 1<<64 - 1
)

// isStreamVMDK reports whether s is the start of a stream-optimized image: its grains
// are compressed and have markers.
func isStreamVMDK(s sectors) bool {
	b := binary.LittleEndian
	const flags = 1<<16 | 1<<17
	return len(s.head) == sectorBytes && begins("KDMV")(s) && b.Uint32(s.head[8:])&flags == flags && b.Uint64(s.head[12:]) > 0
}

// openVMDK returns the disk in a VMDK image. If it fails the file stays open.
func openVMDK(file source, o Options) (backstores.Backstore, error) {
	c := &candidate{file.Path(), readSectors(file, file.Size()), file, file.Size()}
	switch {
	case !begins("KDMV")(c.sectors) && !begins("COWD")(c.sectors):
		return nil, hint.Try(fmt.Errorf("%s: is not a VMDK image", file.Name()), "--format", "auto")
	case !isStreamVMDK(c.sectors) || hasParentVMDK(c):
		return nil, refuse(c, &aVMDK)
	}
	m := &vmdk{file: file}
	err := m.open(c, o)
	if err != nil {
		return nil, fmt.Errorf("%s: VMDK image: %w", file.Name(), err)
	}
	return m, nil
}

func (m *vmdk) open(c *candidate, o Options) error {
	b, h := binary.LittleEndian, c.head
	if b.Uint64(h[56:]) == vmdkAtEnd { // in the footer, which is like the header, and before the last marker
		h = make([]byte, sectorBytes)
		if readFull(m.file, h, max(c.size-2*sectorBytes, 0)) != nil || !isStreamVMDK(sectors{head: h}) {
			return errors.New("is cut short: it has no footer")
		}
	}
	capacity, grain, perTable := b.Uint64(h[12:]), b.Uint64(h[20:]), b.Uint32(h[44:])
	switch {
	case b.Uint32(h[4:]) > 3 || b.Uint16(h[77:]) != 1:
		return errors.New("has an unknown version or compression")
	case grain < vmdkMinGrain || grain > vmdkMaxGrain || grain&(grain-1) != 0 || perTable != vmdkPerTable:
		return fmt.Errorf("has grains of %d sectors, and %d of them in a table", grain, perTable)
	case (capacity-1)/grain >= vmdkMaxGrains:
		return fmt.Errorf("has more than %d grains", vmdkMaxGrains)
	}
	m.size, m.grain = int64(capacity)*sectorBytes, int64(grain)*sectorBytes
	m.zeroEntry = int64(b.Uint32(h[8:]) >> 2 & 1) // entry 1, if the flag is set
	grains := (m.size-1)/m.grain + 1
	m.directory = make([]uint32, (grains-1)/vmdkPerTable+1)
	m.tables = make([]atomic.Pointer[[]uint32], len(m.directory))
	err := m.readTable(m.directory, int64(min(b.Uint64(h[56:]), 1<<40)))
	if err != nil {
		err = fmt.Errorf("grain directory: %w", err)
	} else {
		m.Cache, err = decoded.New(m, decoded.Config{
			Memory: o.memory(m.file, 2), Reads: reads(m.file), Parts: grains,
			EncodedSize: m.grain + m.grain/8, DecodedSize: m.grain,
		})
	}
	return err
}

// readTable fills a table of sectors, from a sector of the file.
func (m *vmdk) readTable(table []uint32, at int64) error {
	p := make([]byte, len(table)*4)
	if err := readFull(m.file, p, at*sectorBytes); err != nil {
		return err
	}
	for i := range table {
		table[i] = binary.LittleEndian.Uint32(p[i*4:])
	}
	return m.file.Changed()
}

// Size implements [backstores.Backstore].
func (m *vmdk) Size() int64 { return m.size }

// ID returns the identity of the file.
func (m *vmdk) ID() (entry.ID, error) { return fileID(m.file) }

// Info implements [Describer].
func (m *vmdk) Info() Info {
	return Info{Format: VMDK, Size: m.size, Stored: m.file.Size(), Random: true}
}

// Close closes the file as well.
func (m *vmdk) Close() error {
	cancel(m.file)
	return errors.Join(m.Cache.Close(), m.file.Close())
}
