package remote

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"sync"
	"sync/atomic"
)

// A diskCache keeps blocks of one version of an image in two files: the blocks,
// at their offsets in a sparse file, and an index with the checksum of each block.
//
// A block counts if it has the checksum in the index. So nothing is synced: after
// a power cut that leaves one without the other, the block is read from the
// server again. Processes share the files without a lock: they write the same
// blocks. The methods work on nil, which keeps nothing.
type diskCache struct {
	dir         *cacheDir
	data, index *os.File

	counting sync.Mutex   // held while the folder is measured
	left     atomic.Int64 // bytes that may be added before it is measured again
	full     atomic.Bool  // nothing is added any more
}

// sumBytes is the length of a checksum: the first bytes of the SHA-256. It finds
// accidents; who could forge it can write the folder.
const sumBytes = 8

// missingSum is that of a block that is not there.
var missingSum [sumBytes]byte

func sumOf(p []byte) [sumBytes]byte {
	sum := sha256.Sum256(p)
	return [sumBytes]byte(sum[:sumBytes])
}

func (d *diskCache) close() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.data.Close(), d.index.Close(), d.dir.root.Close())
}

// sums returns the index of consecutive slots.
func (d *diskCache) sums(slots []*slot) (sums [maxRequest / blockBytes][sumBytes]byte) {
	var p [maxRequest / blockBytes * sumBytes]byte
	n := min(len(slots), len(sums))
	d.index.ReadAt(p[:n*sumBytes], slots[0].block*sumBytes) // what is missing stays zero
	for i := range n {
		copy(sums[i][:], p[i*sumBytes:])
	}
	return sums
}

// read fills slots up to the first whose block is not kept. It returns the number
// of them.
func (d *diskCache) read(slots []*slot) (n int) {
	if d == nil {
		return 0
	}
	for sums := d.sums(slots); n < min(len(slots), len(sums)); n++ {
		s := slots[n]
		if sums[n] == missingSum {
			break
		}
		if k, _ := d.data.ReadAt(s.buf[:s.n], s.block*blockBytes); k < s.n || sumOf(s.buf[:s.n]) != sums[n] {
			break
		}
	}
	return n
}

// missing returns how many slots, at least one, have to be read from the server
// before the next that may be kept.
func (d *diskCache) missing(slots []*slot) int {
	n := 1
	if d == nil {
		return len(slots)
	}
	for sums := d.sums(slots); n < min(len(slots), len(sums)) && sums[n] == missingSum; n++ {
	}
	return n
}

// write keeps the block in a slot, if there is room.
func (d *diskCache) write(s *slot) {
	if d == nil || d.full.Load() {
		return
	}
	p := s.buf[:s.n]
	sum := sumOf(p)
	if bytes.Equal(sum[:], missingSum[:]) {
		return
	}
	if _, err := d.data.WriteAt(p, s.block*blockBytes); err != nil {
		d.full.Store(true)
		return
	}
	if _, err := d.index.WriteAt(sum[:], s.block*sumBytes); err != nil {
		d.full.Store(true)
		return
	}
	if d.left.Add(-int64(s.n)) < 0 && d.counting.TryLock() {
		d.makeRoom()
		d.counting.Unlock()
	}
}

// makeRoom measures the folder, and removes what is used least. Other processes
// add to the folder as well, so it is measured again before it can be full.
func (d *diskCache) makeRoom() {
	left := d.dir.room()
	d.left.Store(min(left, d.dir.limit/16))
	d.full.Store(left <= 0)
}
