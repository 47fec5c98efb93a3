package qcow2

import (
	"errors"
	"fmt"

	"github.com/lunserve/lunserve/hint"
)

// Limits, which are those of QEMU.
const (
	minClusterBits = 9
	maxClusterBits = 21
	maxL1Bytes     = 32 << 20
	maxOrder       = 6 // refcounts of 64 bits

	// Extended L2 entries divide a cluster in 32 subclusters, which are not
	// smaller than 512 bytes.
	subclusters        = 32
	minExtendedCluster = 14
)

// Types of compression.
const (
	zlib = iota
	zstandard
)

// Errors of images that cannot be read without something that is not in the file.
var (
	ErrDataFile  = errors.New("its data is in another file")
	ErrEncrypted = errors.New("is encrypted")
	ErrFeature   = errors.New("has a feature that lunserve does not know")
)

// geometry is what the numbers in a header come to.
type geometry struct {
	clusterBits uint
	entryBytes  int64 // of an L2 entry
	l2Bits      uint  // log2 of the entries of an L2 table
	size        int64 // of the disk
	tables      int64 // L2 tables of the disk
}

// geometry checks the header of a file of this size.
func (h *Header) geometry(fileSize int64) (g geometry, err error) {
	if err := h.checkFeatures(); err != nil {
		return g, err
	}
	switch {
	case h.ClusterBits < minClusterBits || h.ClusterBits > maxClusterBits:
		return g, fmt.Errorf("has clusters of 2^%d bytes, not 2^%d to 2^%d", h.ClusterBits, minClusterBits, maxClusterBits)
	case h.RefcountOrder > maxOrder:
		return g, fmt.Errorf("has refcounts of 2^%d bits, more than 2^%d", h.RefcountOrder, maxOrder)
	case h.Size>>63 != 0:
		return g, fmt.Errorf("says that its disk has %d bytes", h.Size)
	}
	g = geometry{clusterBits: uint(h.ClusterBits), entryBytes: 8, size: int64(h.Size) &^ 511} // QEMU counts sectors
	g.l2Bits = g.clusterBits - 3
	if h.Incompatible&ExtendedL2 != 0 {
		if g.clusterBits < minExtendedCluster {
			return g, fmt.Errorf("has extended L2 entries and clusters of %d bytes, less than %d", g.cluster(), 1<<minExtendedCluster)
		}
		g.entryBytes, g.l2Bits = 16, g.l2Bits-1
	}
	covers := int64(1) << (g.clusterBits + g.l2Bits) // of the disk, by a table
	g.tables = g.size / covers
	if g.size%covers != 0 {
		g.tables++
	}
	l1Bytes := int64(h.L1Size) * 8
	switch {
	case g.size == 0:
		return g, errors.New("has a disk of no bytes")
	case l1Bytes > maxL1Bytes:
		return g, fmt.Errorf("has an L1 table of %d bytes, more than %d", l1Bytes, maxL1Bytes)
	case g.tables > int64(h.L1Size):
		return g, fmt.Errorf("has an L1 table of %d entries, and its disk needs %d", h.L1Size, g.tables)
	case h.L1At%uint64(g.cluster()) != 0:
		return g, fmt.Errorf("has its L1 table at %d, which is not the start of a cluster", h.L1At)
	case h.L1At > uint64(fileSize) || g.tables*8 > fileSize-int64(h.L1At):
		return g, fmt.Errorf("is cut short: it has %d bytes, and its L1 table is at %d", fileSize, h.L1At)
	}
	return g, nil
}

// cluster is the size of a cluster in bytes.
func (g *geometry) cluster() int64 { return 1 << g.clusterBits }

// checkFeatures returns an error if it takes more than this package to read the
// image.
func (h *Header) checkFeatures() error {
	if h.Incompatible&ExternalData != 0 {
		return ErrDataFile
	}
	if h.CryptMethod != 0 {
		return ErrEncrypted
	}
	unknown := h.Incompatible &^ (Dirty | Corrupt | CompressionType | ExtendedL2)
	for bit := range byte(64) {
		if unknown>>bit&1 != 0 {
			name := ""
			if n := h.featureName(bit); n != "" {
				name = ", by its header " + hint.Visible(n)
			}
			return fmt.Errorf("%w: incompatible feature %d%s", ErrFeature, bit, name)
		}
	}
	switch {
	case h.Compression > zstandard:
		return fmt.Errorf("%w: compression type %d", ErrFeature, h.Compression)
	case (h.Compression == zlib) != (h.Incompatible&CompressionType == 0):
		return errors.New("has a compression type that contradicts its features")
	}
	return nil
}
