package backstores

import "encoding/binary"

// A layout says where things are in an overlay of a disk of size bytes, all in
// whole clusters and in this order:
//
//	0           header, with our record and the name of the base
//	l1          a pointer to each L2 table
//	refTable    a pointer to each refcount block
//	refBlocks   16 bits for each cluster, in one piece
//	l2          the L2 tables, one for each GiB of the disk
//	data        the disk
//	end         of what is QCOW2
//	marks       a byte for each block of the disk
type layout struct {
	size                                          int64
	regions, refBlockCount                        int64
	l1, refTable, refBlocks, l2, data, end, marks int64
}

const (
	refsPerBlock = clusterBytes / 2
	l2EntryBytes = 16 // extended: 64 bits of address, 32 of presence, 32 of zeros

	// The bit of an address that says its cluster has one user.
	oneUser = 1 << 63
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
		// The refcounts count their own clusters. This ends: the more blocks,
		// the less another one adds.
		if need := (l.end/clusterBytes + refsPerBlock - 1) / refsPerBlock; need > l.refBlockCount {
			l.refBlockCount = need
			continue
		}
		return l
	}
}

// fileBytes is the length of the whole file.
func (l *layout) fileBytes() int64 { return l.marks + l.regions*marksBytes }

// marksOf is where the marks of a region begin.
func (l *layout) marksOf(region int64) int64 { return l.marks + region*marksBytes }

// table is where the L2 table of a region is.
func (l *layout) table(region int64) int64 { return l.l2 + region*clusterBytes }

// address is what a table says of where the k-th cluster of a region is. The
// last table is longer than the disk.
func (l *layout) address(region, k int64) uint64 {
	at := l.data + region*regionBytes + k*clusterBytes
	if at >= l.end {
		return 0
	}
	return uint64(at) | oneUser
}

// ones are the refcounts of n clusters with one user each.
func ones(n int64) []byte {
	p := make([]byte, 2*n)
	for i := range n {
		binary.BigEndian.PutUint16(p[2*i:], 1)
	}
	return p
}

// frame is all that lies between the header and the L2 tables at first, in
// parts by offset. What is not in it is zeros.
func (l *layout) frame() map[int64][]byte {
	refTable := make([]byte, l.refBlockCount*8)
	for i := range l.refBlockCount {
		binary.BigEndian.PutUint64(refTable[i*8:], uint64(l.refBlocks+i*clusterBytes))
	}
	return map[int64][]byte{
		l.l1:        make([]byte, l.regions*8), // written, so that there is space
		l.refTable:  refTable,
		l.refBlocks: ones(l.l2 / clusterBytes),
	}
}

// encode makes the page of a table that p says.
func (l *layout) encode(page []byte, p *part) {
	for c, present := range p.bits {
		entry := page[c*l2EntryBytes:]
		if at := l.address(p.region, p.index*clustersPerPart+int64(c)); at != 0 {
			binary.BigEndian.PutUint64(entry, at)
			binary.BigEndian.PutUint64(entry[8:], uint64(present))
		}
	}
}

// decode reads a table into r. Nothing in it may be elsewhere than it lies in
// the layout, or be of a kind that we do not make.
func (l *layout) decode(table []byte, i int64, r *region) error {
	for c := range r {
		entry := table[c*l2EntryBytes:]
		at, present := l.address(i, int64(c)), binary.BigEndian.Uint64(entry[8:])
		if binary.BigEndian.Uint64(entry) != at || present>>32 != 0 || at == 0 && present != 0 {
			return errChanged
		}
		r[c].Store(uint32(present))
	}
	return nil
}
