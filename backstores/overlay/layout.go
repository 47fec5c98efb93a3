package overlay

import (
	"encoding/binary"

	"github.com/lunserve/lunserve/backstores/qcow2"
)

// A layout is the offsets of the parts of an overlay for a disk of size bytes.
// Each part is whole clusters. They lie in this order:
//
//	0           header, with our record and the path of the base
//	l1          a pointer to each L2 table
//	refTable    a pointer to each refcount block
//	refBlocks   16 bits for each cluster, contiguous
//	l2          the L2 tables, one for each GiB of the disk
//	data        the disk
//	end         end of the QCOW2 image
//	marks       a byte for each block of the disk
type layout struct {
	size                                          int64
	regions, refBlockCount                        int64
	l1, refTable, refBlocks, l2, data, end, marks int64
}

const (
	refsPerBlock = clusterBytes / 2
	l2EntryBytes = 16 // extended: 64 bits of address, 32 of presence, 32 of zeros
)

func layOut(size int64) layout {
	clusters := func(n int64) int64 { return (n + clusterBytes - 1) / clusterBytes }
	l := layout{size: size, regions: roundUp(size, regionBytes) / regionBytes}
	for {
		l.l1 = clusterBytes
		l.refTable = l.l1 + clusters(l.regions*8)*clusterBytes
		l.refBlocks = l.refTable + clusters(l.refBlockCount*8)*clusterBytes
		l.l2 = l.refBlocks + l.refBlockCount*clusterBytes
		l.data = l.l2 + l.regions*clusterBytes
		l.end = l.data + clusters(size)*clusterBytes
		l.marks = l.end
		// The refcount blocks also count their own clusters. The loop ends,
		// since each further block adds fewer clusters than it can count.
		if need := (l.end/clusterBytes + refsPerBlock - 1) / refsPerBlock; need > l.refBlockCount {
			l.refBlockCount = need
			continue
		}
		return l
	}
}

// fileBytes returns the length of the whole file.
func (l *layout) fileBytes() int64 { return l.marks + l.regions*marksBytes }

// marksOf returns the offset of the marks of a region.
func (l *layout) marksOf(region int64) int64 { return l.marks + region*marksBytes }

// table returns the offset of the L2 table of a region.
func (l *layout) table(region int64) int64 { return l.l2 + region*clusterBytes }

// address returns the entry in a table for the k-th cluster of a region, or 0
// past the end of the disk.
func (l *layout) address(region, k int64) uint64 {
	at := l.data + region*regionBytes + k*clusterBytes
	if at >= l.end {
		return 0
	}
	return uint64(at) | qcow2.Copied
}

// ones returns the refcounts of n clusters that are used once.
func ones(n int64) []byte {
	p := make([]byte, 2*n)
	for i := range n {
		binary.BigEndian.PutUint16(p[2*i:], 1)
	}
	return p
}

// frame returns the initial contents of a new file between the header and the
// L2 tables, by offset. The rest is zeros.
func (l *layout) frame() map[int64][]byte {
	return map[int64][]byte{
		l.l1:        make([]byte, l.regions*8), // written, to allocate the space
		l.refTable:  l.refPointers(),
		l.refBlocks: ones(l.l2 / clusterBytes),
	}
}

// refPointers returns the contents of the clusters of the refcount table.
func (l *layout) refPointers() []byte {
	p := make([]byte, l.refBlocks-l.refTable)
	for i := range l.refBlockCount {
		binary.BigEndian.PutUint64(p[i*8:], uint64(l.refBlocks+i*clusterBytes))
	}
	return p
}

// encode fills a page of a table from p.
func (l *layout) encode(page []byte, p *part) {
	for c, present := range p.bits {
		entry := page[c*l2EntryBytes:]
		if at := l.address(p.region, p.index*clustersPerPart+int64(c)); at != 0 {
			binary.BigEndian.PutUint64(entry, at)
			binary.BigEndian.PutUint64(entry[8:], uint64(present))
		}
	}
}

// decode reads the table of region i into r. It refuses an entry that does not
// match the layout, or of a kind that we do not write.
func (l *layout) decode(table []byte, i int64, r *region) error {
	for c := range r {
		entry := table[c*l2EntryBytes:]
		at, present := l.address(i, int64(c)), binary.BigEndian.Uint64(entry[8:])
		if binary.BigEndian.Uint64(entry) != at || present>>32 != 0 || at == 0 && present != 0 {
			return errMap
		}
		r[c].Store(uint32(present))
	}
	return nil
}
