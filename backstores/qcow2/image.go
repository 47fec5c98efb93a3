package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/decoded"
)

// An Image is the disk in a file. It is a read-only [backstores.Backstore].
type Image struct {
	geometry
	header   *Header
	name     string
	file     backstores.Backstore
	fileSize int64
	backing  backstores.Backstore // or nil

	l1       []uint64       // as in the file
	tables   *decoded.Cache // slices of L2 tables
	slice    int64          // bytes of a slice
	clusters *decoded.Cache // compressed clusters
	zstd     *zstd.Decoder  // or nil
	next     atomic.Int64   // where the last read that succeeded ended
	changed  func() error
	closed   atomic.Bool
}

// Config configures an Image.
type Config struct {
	// Memory is the size in bytes of the caches. They also take about 90 bytes
	// for each cluster that fits.
	Memory int64

	// Reads is how many tables, and how many compressed clusters, are read from
	// the file at a time: 0 stands for a file of this machine.
	Reads int

	// Changed, if not nil, is called after each table and each compressed cluster
	// that is read. If it returns an error, that is the error of the read.
	Changed func() error
}

const (
	// maxSlice is the largest part of an L2 table that is read at once.
	maxSlice = 64 << 10

	// An eighth of the memory is for L2 tables, within these limits. 32 MiB of
	// tables are for a disk of 256 GiB, if its clusters have 64 KiB.
	minTables = 256 << 10
	maxTables = 32 << 20
)

// Open reads the header and the L1 table of the image in file, which is named in
// errors. Closing the image closes the file. If Open fails the file stays open.
//
// If the header names a backing file, the caller opens it or another one, as the
// user tells, and calls Attach.
func Open(name string, file backstores.Backstore, o Config) (_ *Image, err error) {
	m := &Image{name: name, file: file, fileSize: file.Size(), changed: o.Changed}
	if m.changed == nil {
		m.changed = func() error { return nil }
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	if m.header, err = ReadHeader(file); err != nil {
		return nil, err
	}
	if m.geometry, err = m.header.geometry(m.fileSize); err != nil {
		return nil, err
	}
	if err := m.readL1(); err != nil {
		return nil, err
	}
	if err := m.changed(); err != nil {
		return nil, err
	}
	return m, m.makeCaches(o)
}

// ReadHeader reads the header of the image in a file, and checks no value.
func ReadHeader(file backstores.Backstore) (*Header, error) {
	p := make([]byte, min(file.Size(), HeaderSize))
	if err := backstores.ReadVec(file, [][]byte{p}, 0, 0); err != nil {
		return nil, err
	}
	if !Is(p) {
		return nil, errors.New("is not a qcow2 image")
	}
	// The whole header is in the first cluster.
	if bits := binary.BigEndian.Uint32(p[20:]); bits >= minClusterBits && bits <= maxClusterBits {
		p = make([]byte, min(file.Size(), 1<<bits))
		if err := backstores.ReadVec(file, [][]byte{p}, 0, 0); err != nil {
			return nil, err
		}
	}
	return ParseHeader(p)
}

func (m *Image) readL1() error {
	p := make([]byte, m.geometry.tables*8)
	if err := backstores.ReadVec(m.file, [][]byte{p}, int64(m.header.L1At), 0); err != nil {
		return err
	}
	m.l1 = make([]uint64, m.geometry.tables)
	for i := range m.l1 {
		m.l1[i] = binary.BigEndian.Uint64(p[i*8:])
	}
	return nil
}

// A MemoryError is the error of an image whose clusters are too large for the
// memory of the caches.
type MemoryError struct {
	Cluster, Memory int64
	Least           int64 // that is enough, in whole MiB
}

// Error implements error.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("clusters of %d bytes do not fit in %d bytes of memory", e.Cluster, e.Memory)
}

func (m *Image) makeCaches(o Config) (err error) {
	memory := o.Memory
	if least := max(16*m.cluster(), 1<<20); memory < least {
		return &MemoryError{m.cluster(), memory, least}
	}
	forTables := min(max(memory/8, minTables), maxTables)
	m.slice = min(m.cluster(), maxSlice)
	m.tables, err = decoded.New(tableSource{m}, decoded.Config{
		Memory: forTables, Reads: o.Reads, Parts: m.geometry.tables * m.slices(), DecodedSize: m.slice,
	})
	if err != nil {
		return err
	}
	m.clusters, err = decoded.New(clusterSource{m}, decoded.Config{
		Memory: memory - forTables, Reads: o.Reads, Parts: (m.size-1)>>m.clusterBits + 1,
		EncodedSize: maxEncoded * m.cluster(), DecodedSize: m.cluster(),
	})
	if err == nil && m.header.Compression == zstandard {
		if m.zstd, err = newZstd(); err != nil {
			m.clusters.Close()
		}
	}
	if err != nil {
		m.tables.Close()
	}
	return err
}

// Attach sets what clusters that the image does not have are read from: zeros past
// its end, and zeros if there is none. Closing the image closes it. Attach must be
// called before the first read.
func (m *Image) Attach(backing backstores.Backstore) { m.backing = backing }

// Header returns the header. It must not be changed.
func (m *Image) Header() *Header { return m.header }

// File returns the file.
func (m *Image) File() backstores.Backstore { return m.file }

// Size implements [backstores.Backstore].
func (m *Image) Size() int64 { return m.size }

// Hits returns how often a read found its compressed cluster decoded, see
// [backstores.Hits].
func (m *Image) Hits() (hits, misses uint64) { return m.clusters.Hits() }

// Close implements [backstores.Backstore].
func (m *Image) Close() error {
	if m.closed.Swap(true) {
		return fmt.Errorf("%s: close: %w", m.name, fs.ErrClosed)
	}
	err := m.clusters.Close() // which may read tables until then
	err = errors.Join(err, m.tables.Close())
	if m.zstd != nil {
		m.zstd.Close()
	}
	if m.backing != nil {
		err = errors.Join(err, m.backing.Close())
	}
	return errors.Join(err, m.file.Close())
}

// damaged returns the error of an entry at off of the disk that cannot be right.
func (m *Image) damaged(off int64, format string, args ...any) error {
	return fmt.Errorf("%s: is damaged: cluster at %d: %w", m.name, off&^(m.cluster()-1), fmt.Errorf(format, args...))
}
