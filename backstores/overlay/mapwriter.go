package overlay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/qcow2"
)

// A mapWriter writes the map of an overlay to its file. Each flush copies the
// changed parts of the map, syncs the data, writes the parts and syncs them. So
// the map in the file never names data that is not there.
//
// The map is written in place. Its bits only change from 0 to 1, so whatever a
// power cut leaves of a write, the old bytes, the new ones or some of each, every
// bit that was set is still set.
type mapWriter struct {
	file    File
	layout  layout
	present blockmap

	grow     sync.Mutex // held while a region is made
	flushMu  sync.Mutex // held during a flush
	flushErr error      // of the first flush that failed; guarded by flushMu

	// dirty has a bit for each part of a region's table that differs from the
	// file. It changes together with the map under mapMu held for reading, and
	// is copied together with it under mapMu held for writing.
	dirty []atomic.Uint32
	mapMu sync.RWMutex
	// While flushing is set, a part that is not dirty may not be in the file yet.
	flushing atomic.Bool
	batch    []part
}

// A part is the contents of one page of a table.
type part struct {
	region, index int64
	bits          [clustersPerPart]uint32
}

const (
	partBytes       = 4096
	clustersPerPart = partBytes / l2EntryBytes            // 256
	partsPerRegion  = clustersPerRegion / clustersPerPart // 32
	partSpan        = clustersPerPart * clusterBytes      // 32 MiB

	marksBytes = regionBytes / BlockBytes // marks of a region: 256 KiB

	// Parts that are copied in one batch: 1 MiB of memory, 32 GiB of disk.
	batchParts = 1024
)

func newMapWriter(file File, l layout, present blockmap) *mapWriter {
	return &mapWriter{file: file, layout: l, present: present, dirty: make([]atomic.Uint32, l.regions)}
}

// makeRegion allocates all metadata of a region, so that once its first write
// is acknowledged the map cannot run out of space. A power cut leaves the region
// complete, or refcounts that are too high, which is harmless.
func (m *mapWriter) makeRegion(i int64) error {
	m.grow.Lock()
	defer m.grow.Unlock()
	if m.present[i].Load() != nil {
		return nil
	}
	l := &m.layout
	if err := m.file.Zero(l.marksOf(i), marksBytes); err != nil {
		return err
	}
	table := make([]byte, clusterBytes)
	clusters := int64(0)
	for c := range int64(clustersPerRegion) {
		if at := l.address(i, c); at != 0 {
			binary.BigEndian.PutUint64(table[c*l2EntryBytes:], at)
			clusters++
		}
	}
	first := l.data/clusterBytes + i*clustersPerRegion
	for _, w := range []struct {
		p   []byte
		off int64
	}{
		{table, l.table(i)},
		{ones(1), l.refBlocks + l.table(i)/clusterBytes*2},
		{ones(clusters), l.refBlocks + first*2},
	} {
		if _, err := m.file.WriteAt(w.p, w.off); err != nil {
			return err
		}
	}
	if err := m.file.Flush(); err != nil {
		m.fail(err) // the next flush of the file would succeed
		return err
	}
	entry := binary.BigEndian.AppendUint64(nil, uint64(l.table(i))|qcow2.Copied)
	if _, err := m.file.WriteAt(entry, l.l1+i*8); err != nil {
		return err
	}
	m.present[i].Store(new(region))
	return nil
}

var marks = bytes.Repeat([]byte{1}, 4096)

// publish marks blocks whose data is in the file and makes them present. From
// then on they are written without a lock, and those writes are acknowledged.
// So before a block becomes present it has its mark, for the case that the
// process is killed, and its part is dirty or in a batch, for the next flush. A
// mark is a byte, so that no neighbour needs to be read. Marks are never synced.
func (m *mapWriter) publish(off, n int64, f backstores.Flag) error {
	b, end := off/BlockBytes, roundUp(off+n, BlockBytes)/BlockBytes
	for b < end {
		v := backstores.OneSegment(marks[:min(end-b, int64(len(marks)))])
		err := m.file.WriteVec(v.Bufs, m.layout.marks+b, f)
		b += backstores.Length(v.Bufs)
		v.Free()
		if err != nil {
			return err
		}
	}
	m.mapMu.RLock()
	defer m.mapMu.RUnlock()
	for at := off / partSpan; at <= (off+n-1)/partSpan; at++ {
		m.dirty[at/partsPerRegion].Or(1 << (at % partsPerRegion))
	}
	m.present.add(off, n)
	return nil
}

// pending reports whether the map in the file may lack some of these bytes.
func (m *mapWriter) pending(off, n int64) bool {
	for at := off / partSpan; at <= (off+n-1)/partSpan; at++ {
		if m.dirty[at/partsPerRegion].Load()>>(at%partsPerRegion)&1 != 0 {
			return true
		}
	}
	return m.flushing.Load() // after dirty, before which flush sets it
}

func (m *mapWriter) flush() error {
	m.flushMu.Lock()
	defer m.flushMu.Unlock()
	if m.flushErr != nil {
		return fmt.Errorf("a flush failed, so no more is kept until the overlay is opened again: %w", m.flushErr)
	}
	m.flushing.Store(true)
	defer m.flushing.Store(false)
	for {
		m.copyDirty()
		err := m.file.Flush()
		for i := 0; i < len(m.batch) && err == nil; i++ {
			err = m.write(&m.batch[i])
		}
		if err == nil && 0 < len(m.batch) && len(m.batch) < batchParts {
			err = m.file.Flush()
		}
		if err != nil {
			m.flushErr = err
			return err
		}
		if len(m.batch) < batchParts {
			return nil
		}
	}
}

// fail makes all later flushes fail.
func (m *mapWriter) fail(err error) {
	m.flushMu.Lock()
	defer m.flushMu.Unlock()
	if m.flushErr == nil {
		m.flushErr = err
	}
}

// failure returns the error of the first flush that failed, or nil.
func (m *mapWriter) failure() error {
	m.flushMu.Lock()
	defer m.flushMu.Unlock()
	return m.flushErr
}

// complete reports whether the map in the file is all that is present.
func (m *mapWriter) complete() bool {
	m.flushMu.Lock()
	defer m.flushMu.Unlock()
	for i := range m.dirty {
		if m.dirty[i].Load() != 0 {
			return false
		}
	}
	return m.flushErr == nil
}

// copyDirty copies the dirty parts of the map to the batch, as many as it holds.
func (m *mapWriter) copyDirty() {
	m.batch = m.batch[:0]
	for i := range m.dirty {
		for m.dirty[i].Load() != 0 {
			if len(m.batch) == batchParts {
				return
			}
			m.copyPart(i)
		}
	}
}

func (m *mapWriter) copyPart(i int) {
	m.mapMu.Lock()
	defer m.mapMu.Unlock()
	old := m.dirty[i].Load()
	bit := old & -old
	m.dirty[i].And(^bit)
	m.batch = append(m.batch, part{region: int64(i), index: int64(bits.TrailingZeros32(bit))})
	p := &m.batch[len(m.batch)-1]
	r := m.present[i].Load()
	for c := range p.bits {
		p.bits[c] = r[p.index*clustersPerPart+int64(c)].Load()
	}
}

func (m *mapWriter) write(p *part) error {
	var page [partBytes]byte
	m.layout.encode(page[:], p)
	_, err := m.file.WriteAt(page[:], m.layout.table(p.region)+p.index*partBytes)
	return err
}

// replayMarks makes the marked blocks of a region present.
func (m *mapWriter) replayMarks(i int64, marks []byte) {
	r := m.present[i].Load()
	for b, mark := range marks {
		c, bit := b/blocksPerCluster, uint32(1)<<(b%blocksPerCluster)
		if mark == 1 && r[c].Load()&bit == 0 && m.layout.address(i, int64(c)) != 0 {
			r[c].Or(bit)
			m.dirty[i].Or(1 << (c / clustersPerPart))
		}
	}
}
