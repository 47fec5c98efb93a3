package backstores

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
)

// A keeper keeps the map of an overlay in its file. The order is: what the map
// will say is taken down, the data are synced, the map is written, and synced.
// So the map in the file never says more than is there.
//
// It is written in place. As its bits only go from 0 to 1, whatever a power cut
// leaves of a write, the old, the new or some bytes of each, has every bit that
// was there before.
type keeper struct {
	file    changeable
	layout  layout
	changed blockmap

	grow  sync.Mutex // while a region is made
	syncs sync.Mutex // while a flush runs
	lost  error      // of the flush that failed first, under syncs

	// A bit for each part of a region's table that is not in the file. It and
	// the map change together while adding is held for reading, and are taken
	// down together while it is held for writing.
	behind []atomic.Uint32
	adding sync.RWMutex
	// While set, what is no longer behind may not be in the file yet.
	flushing atomic.Bool
	batch    []part
}

// A part is what one page of a table says.
type part struct {
	region, index int64
	bits          [clustersPerPart]uint32
}

const (
	partBytes       = 4096
	clustersPerPart = partBytes / l2EntryBytes            // 256
	partsPerRegion  = clustersPerRegion / clustersPerPart // 32
	partSpan        = clustersPerPart * clusterBytes      // 32 MiB

	marksBytes = regionBytes / blockBytes // marks of a region: 256 KiB

	// Parts that are taken down at once: 1 MiB of memory, 32 GiB of disk.
	batchParts = 1024
)

func newKeeper(file changeable, l layout, changed blockmap) *keeper {
	return &keeper{file: file, layout: l, changed: changed, behind: make([]atomic.Uint32, l.regions)}
}

// makeRegion makes all that a region needs, so that space cannot run out once
// its first write was acknowledged. A power cut leaves it made, or refcounts
// that count too much, which does no harm.
func (k *keeper) makeRegion(i int64) error {
	k.grow.Lock()
	defer k.grow.Unlock()
	if k.changed[i].Load() != nil {
		return nil
	}
	l := &k.layout
	if err := k.file.Zero(l.marksOf(i), marksBytes); err != nil {
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
		if _, err := k.file.WriteAt(w.p, w.off); err != nil {
			return err
		}
	}
	if err := k.file.Flush(); err != nil {
		return err
	}
	entry := binary.BigEndian.AppendUint64(nil, uint64(l.table(i))|oneUser)
	if _, err := k.file.WriteAt(entry, l.l1+i*8); err != nil {
		return err
	}
	k.changed[i].Store(new(region))
	return nil
}

var marks = bytes.Repeat([]byte{1}, 4096)

// publish marks blocks that are in the file and makes them present. Whoever
// finds a block present writes to it without a lock, and that is acknowledged:
// so by then it has its mark, for what comes after a kill, and is behind, or
// taken down, for a flush. The marks are bytes, so that nobody need read what is
// next to his own. They are never synced.
func (k *keeper) publish(off, n int64, f Flag) error {
	b, end := off/blockBytes, roundUp(off+n, blockBytes)/blockBytes
	for b < end {
		v := single(marks[:min(end-b, int64(len(marks)))])
		err := k.file.WriteVec(v.bufs, k.layout.marks+b, f)
		b += length(v.bufs)
		v.free()
		if err != nil {
			return err
		}
	}
	k.adding.RLock()
	defer k.adding.RUnlock()
	for at := off / partSpan; at <= (off+n-1)/partSpan; at++ {
		k.behind[at/partsPerRegion].Or(1 << (at % partsPerRegion))
	}
	k.changed.add(off, n)
	return nil
}

// pending tells whether the file may not say yet where some of these bytes are.
func (k *keeper) pending(off, n int64) bool {
	for at := off / partSpan; at <= (off+n-1)/partSpan; at++ {
		if k.behind[at/partsPerRegion].Load()>>(at%partsPerRegion)&1 != 0 {
			return true
		}
	}
	return k.flushing.Load() // after behind, which it is set before
}

func (k *keeper) flush() error {
	k.syncs.Lock()
	defer k.syncs.Unlock()
	if k.lost != nil {
		return fmt.Errorf("writes may be lost since a flush failed: %w", k.lost)
	}
	k.flushing.Store(true)
	defer k.flushing.Store(false)
	for {
		k.take()
		err := k.file.Flush()
		for i := 0; i < len(k.batch) && err == nil; i++ {
			err = k.write(&k.batch[i])
		}
		if err == nil && 0 < len(k.batch) && len(k.batch) < batchParts {
			err = k.file.Flush()
		}
		if err != nil {
			k.lost = err
			return err
		}
		if len(k.batch) < batchParts {
			return nil
		}
	}
}

// take takes down what of the map is not in the file, a batch at most.
func (k *keeper) take() {
	k.batch = k.batch[:0]
	for i := range k.behind {
		for k.behind[i].Load() != 0 {
			if len(k.batch) == batchParts {
				return
			}
			k.takePart(i)
		}
	}
}

func (k *keeper) takePart(i int) {
	k.adding.Lock()
	defer k.adding.Unlock()
	old := k.behind[i].Load()
	bit := old & -old
	k.behind[i].And(^bit)
	k.batch = append(k.batch, part{region: int64(i), index: int64(bits.TrailingZeros32(bit))})
	p := &k.batch[len(k.batch)-1]
	r := k.changed[i].Load()
	for c := range p.bits {
		p.bits[c] = r[p.index*clustersPerPart+int64(c)].Load()
	}
}

func (k *keeper) write(p *part) error {
	var page [partBytes]byte
	k.layout.encode(page[:], p)
	_, err := k.file.WriteAt(page[:], k.layout.table(p.region)+p.index*partBytes)
	return err
}

// recall takes what the marks of a region say for present.
func (k *keeper) recall(i int64, marks []byte) {
	r := k.changed[i].Load()
	for b, mark := range marks {
		c, bit := b/blocksPerCluster, uint32(1)<<(b%blocksPerCluster)
		if mark == 1 && r[c].Load()&bit == 0 && k.layout.address(i, int64(c)) != 0 {
			r[c].Or(bit)
			k.behind[i].Or(1 << (c / clustersPerPart))
		}
	}
}
