package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/decoded"
)

// Bits of L1 and L2 entries. Those that are not mentioned are reserved, and QEMU
// ignores them.
const (
	addressMask   = 0x00fffffffffffe00
	compressedBit = 1 << 62
	zeroBit       = 1 << 0 // not in extended entries
)

// A kind says where a part of the disk is.
type kind int

const (
	absent     kind = iota // in the backing file
	zero                   // nowhere: it is zeros
	plain                  // in the file, as it is
	compressed             // in the file, compressed; at most one cluster
)

// A run is consecutive bytes of the disk that are found in the same way.
type run struct {
	kind kind
	n    int64
	host int64 // offset in the file of the first byte, or of the compressed cluster
	size int64 // in the file, of a compressed cluster
}

// atOnce is how many entries, or parts of extended ones, are looked at for one
// question. A table may have millions.
const atOnce = 1024

// find returns where the n > 0 bytes at off are, or the first of them. They must be
// inside the disk. It looks at atOnce entries at most. If wait is not set, find may
// return ErrWouldBlock.
func (m *Image) find(off, n int64, wait bool) (run, error) {
	span := m.clusterBits + m.l2Bits
	i := off >> span
	at := int64(m.l1[i] & addressMask)
	if at == 0 {
		end := i + 1
		for end-i < atOnce && end<<span < off+n && m.l1[end]&addressMask == 0 {
			end++
		}
		return run{kind: absent, n: min(n, end<<span-off)}, nil
	}
	entry := off >> m.clusterBits & (1<<m.l2Bits - 1) * m.entryBytes // in the table
	part := i*m.slices() + entry/m.slice
	start := entry % m.slice
	p, slot, err := m.tables.Use(decoded.Range{Part: part, Off: start, N: m.slice - start}, wait)
	if err != nil {
		return run{}, err
	}
	defer m.tables.Done(slot)

	first, err := m.entry(p, off)
	if err != nil {
		return run{}, err
	}
	// What follows it may be found in the same way.
	for looked := 1; looked < atOnce && first.n < n && first.kind != compressed; looked++ {
		next := off + first.n
		k := next>>m.clusterBits - off>>m.clusterBits
		if k*m.entryBytes >= int64(len(p)) {
			break
		}
		more, err := m.entry(p[k*m.entryBytes:], next)
		if err != nil || more.kind != first.kind || more.kind == plain && more.host != first.host+first.n {
			break
		}
		first.n += more.n
	}
	first.n = min(first.n, n)
	return first, nil
}

// entry returns where the byte at off is, and how many bytes after it in the same
// cluster, by the L2 entry that p begins with.
func (m *Image) entry(p []byte, off int64) (run, error) {
	e := binary.BigEndian.Uint64(p)
	inside := off & (m.cluster() - 1)
	rest := m.cluster() - inside
	host := int64(e & addressMask)
	if e&compressedBit != 0 {
		return m.compressed(e, off, rest)
	}
	if host%m.cluster() != 0 {
		return run{}, m.damaged(off, "its data is at %d, which is not the start of a cluster", host)
	}
	switch {
	case m.entryBytes == 16:
		r, err := m.subcluster(host, binary.BigEndian.Uint64(p[8:]), off)
		if err != nil || r.kind != plain {
			return r, err
		}
	case e&zeroBit != 0:
		if m.header.Version < 3 {
			return run{}, m.damaged(off, "is of zeros, which version 2 does not have")
		}
		return run{kind: zero, n: rest}, nil
	case host == 0:
		return run{kind: absent, n: rest}, nil
	}
	if host >= m.fileSize {
		return run{}, m.damaged(off, "its data is at %d, and the file ends at %d", host, m.fileSize)
	}
	return run{kind: plain, n: m.sameSubclusters(p, inside), host: host + inside}, nil
}

// An extended entry has two bits for each of 32 subclusters: the low half of the
// bitmap says which are in the file, the high half which are zeros.

// subcluster returns where the subcluster of the byte at off is. If it is plain,
// only its kind is set.
func (m *Image) subcluster(host int64, bitmap uint64, off int64) (run, error) {
	in, zeros := uint32(bitmap), uint32(bitmap>>32)
	if in&zeros != 0 || host == 0 && in != 0 {
		return run{}, m.damaged(off, "its bitmap %#x contradicts itself", bitmap)
	}
	bits := m.clusterBits - 5
	sub := off & (m.cluster() - 1) >> bits
	k := absent
	switch {
	case in>>sub&1 != 0:
		return run{kind: plain}, nil
	case zeros>>sub&1 != 0:
		k = zero
	}
	return run{kind: k, n: 1<<bits - off&(1<<bits-1)}, nil
}

// sameSubclusters returns how many bytes from inside the cluster of the entry p are
// in the file, at least one.
func (m *Image) sameSubclusters(p []byte, inside int64) int64 {
	if m.entryBytes == 8 {
		return m.cluster() - inside
	}
	in, bits := uint32(binary.BigEndian.Uint64(p[8:])), m.clusterBits-5
	sub := inside >> bits
	for sub < subclusters && in>>sub&1 != 0 {
		sub++
	}
	return sub<<bits - inside
}

// compressed returns where the compressed cluster of the byte at off is. The entry
// has the offset in its low bits, which need not be that of a sector, and above
// them the number of further sectors.
func (m *Image) compressed(e uint64, off, rest int64) (run, error) {
	shift := 62 - (m.clusterBits - 8)
	host := int64(e & (1<<shift - 1))
	sectors := int64(e&(compressedBit-1))>>shift + 1
	size := min(sectors*512-host%512, m.fileSize-host)
	if size <= 0 {
		return run{}, m.damaged(off, "its data is at %d, and the file ends at %d", host, m.fileSize)
	}
	return run{kind: compressed, n: rest, host: host, size: size}, nil
}

// slices is the number of slices of an L2 table.
func (m *Image) slices() int64 { return m.cluster() / m.slice }

// A tableSource reads slices of L2 tables, which are numbered in the order of the
// disk.
type tableSource struct{ *Image }

// Encoded implements [decoded.Source].
func (m tableSource) Encoded(i int64) bool {
	i /= m.slices()
	return i < int64(len(m.l1)) && m.l1[i]&addressMask != 0
}

// Decode implements [decoded.Source].
func (m tableSource) Decode(i int64, _, out []byte) (zeros bool, err error) {
	table := i / m.slices()
	at := int64(m.l1[table] & addressMask)
	if at%m.cluster() != 0 || at > m.fileSize-m.cluster() {
		return false, fmt.Errorf("%s: is damaged: L2 table %d is at %d of %d bytes", m.name, table, at, m.fileSize)
	}
	err = readFull(m.file, out[:m.slice], at+i%m.slices()*m.slice)
	if changed := m.changed(); changed != nil {
		err = fmt.Errorf("%s: %w", m.name, changed)
	}
	return false, err
}

var errShort = errors.New("the file is shorter than it was")

// readFull fills p from the bytes at off.
func readFull(file backstores.Backstore, p []byte, off int64) error {
	n, err := file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil {
		err = errShort
	}
	return err
}
