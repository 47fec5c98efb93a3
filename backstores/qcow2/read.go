package qcow2

import (
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
	q.follows = m.next.Load() == off
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
	m.next.Store(q.end)
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

// Extent implements [backstores.Extenter]. It takes little time: it looks at about
// two times atOnce entries at most, and asks the backing file once.
func (m *Image) Extent(off int64) (n int64, data bool, err error) {
	if err := backstores.CheckRange(m.size, off, 1); err != nil {
		return 0, false, fmt.Errorf("%s: extent at %d: %w", m.name, off, err)
	}
	for looked := int64(0); looked < atOnce && off+n < m.size; {
		r, err := m.find(off+n, m.size-off-n, true)
		if err != nil {
			if n > 0 {
				break
			}
			return 0, false, err
		}
		r.n = min(r.n, m.size-off-n)
		if m.inBacking(r, off+n) {
			if n > 0 {
				break
			}
			k, data, err := backstores.Extent(m.backing, off)
			return min(r.n, k), data, err
		}
		d := r.kind == plain || r.kind == compressed
		if n > 0 && d != data {
			break
		}
		n, data = n+r.n, d
		looked += m.Looked(r.n)
	}
	return n, data, nil
}

// inBacking reports whether a run at off begins in the backing file.
func (m *Image) inBacking(r run, off int64) bool {
	return r.kind == absent && m.backing != nil && off < m.backing.Size()
}
