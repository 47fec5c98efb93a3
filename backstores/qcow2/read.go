package qcow2

import (
	"context"
	"fmt"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/decoded"
)

// maxNoWait is the longest read of decoded clusters under NoWait: its copy also
// delays other commands.
const maxNoWait = 1 << 20

// ReadAt implements [io.ReaderAt].
func (m *Image) ReadAt(p []byte, off int64) (int, error) { return backstores.ReadAt(m, p, off) }

// ReadVec implements [backstores.VectorReader]. Under NoWait it reads what takes no
// table that is not cached and no cluster that is not decoded.
func (m *Image) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	total := backstores.Length(bufs)
	if err := backstores.CheckRange(m.size, off, total); err != nil {
		return fmt.Errorf("%s: read %d bytes at %d: %w", m.name, total, off, err)
	}
	wait := f&backstores.NoWait == 0
	v := backstores.NewSegments(bufs)
	defer v.Free()
	q := query{start: off, end: off + total, wait: wait}
	q.follows = m.next.Swap(q.end) == off
	for end := q.end; off < end; {
		r, err := m.find(off, end-off, wait)
		if err != nil {
			return err
		}
		switch r.kind {
		case zero:
			v.Zero(r.n)
		case absent:
			err = readAbsent(m.backing, v, off, r.n, f)
		case plain:
			err = readPadded(m.file, m.fileSize, v, r.host, r.n, f)
		case compressed:
			r.n = min(r.n, end-off)
			if !wait && total > maxNoWait {
				return backstores.ErrWouldBlock
			}
			err = m.readCompressed(v, off, r.n, q)
		}
		if err != nil {
			return err
		}
		off += r.n
	}
	return nil
}

// readAbsent reads n bytes at off from the backing file, or zeros without one.
func readAbsent(backing backstores.Backstore, v *backstores.Segments, off, n int64, f backstores.Flag) error {
	if backing == nil {
		v.Zero(n)
		return nil
	}
	return readPadded(backing, backing.Size(), v, off, n, f)
}

// readPadded reads n bytes at off from a store of this size, and zeros past its end.
// The last cluster of an image may be incomplete.
func readPadded(s backstores.Backstore, size int64, v *backstores.Segments, off, n int64, f backstores.Flag) error {
	inside := min(n, max(size-off, 0))
	if inside > 0 {
		if err := backstores.ReadVec(s, v.Next(inside), off, f); err != nil {
			return err
		}
	}
	v.Zero(n - inside)
	return nil
}

// A query is a read, of which a cluster is a part.
type query struct {
	start, end int64
	follows    bool // the read before ended at start
	wait       bool
}

// readCompressed reads n bytes at off, in one cluster.
func (m *Image) readCompressed(v *backstores.Segments, off, n int64, q query) error {
	part, inside := off>>m.clusterBits, off&(m.cluster()-1)
	p, slot, err := m.clusters.Use(decoded.Range{
		Part: part, Off: inside, N: n, Ends: inside+n == m.cluster() || off+n == m.size,
		Before: part - q.start>>m.clusterBits, After: (q.end-1)>>m.clusterBits - part,
		Follows: q.follows || off > q.start,
	}, q.wait)
	if err != nil {
		return err
	}
	v.Put(p)
	m.clusters.Done(slot)
	return nil
}

// Extent implements [backstores.Extenter].
func (m *Image) Extent(off int64) (n int64, data bool, err error) {
	if err := backstores.CheckRange(m.size, off, 1); err != nil {
		return 0, false, fmt.Errorf("%s: extent at %d: %w", m.name, off, err)
	}
	const atOnce = 1024 // runs, to take little time
	for range atOnce {
		k, d, err := m.extent(off + n)
		if err != nil && n == 0 {
			return 0, false, err
		}
		if err != nil || n > 0 && d != data {
			break
		}
		if n, data = n+k, d; off+n == m.size {
			break
		}
	}
	return n, data, nil
}

// Compressed returns how many bytes of the disk are in compressed clusters. It reads
// all tables, until ctx is done.
func (m *Image) Compressed(ctx context.Context) (n int64, err error) {
	for off := int64(0); off < m.size; {
		r, err := m.find(off, m.size-off, true)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		if r.kind == compressed {
			n += min(r.n, m.size-off)
		}
		off += r.n
	}
	return n, nil
}

// extent is Extent for one run.
func (m *Image) extent(off int64) (n int64, data bool, err error) {
	r, err := m.find(off, m.size-off, true)
	n = min(r.n, m.size-off)
	switch {
	case err != nil:
		return 0, false, err
	case r.kind == zero || r.kind == absent && (m.backing == nil || off >= m.backing.Size()):
		return n, false, nil
	case r.kind == absent:
		k, data, err := backstores.Extent(m.backing, off)
		return min(n, k), data, err
	}
	return n, true, nil
}
