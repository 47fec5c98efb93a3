package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/decoded"
)

// ReadAt implements [io.ReaderAt].
func (m *vmdk) ReadAt(p []byte, off int64) (int, error) { return backstores.ReadAt(m, p, off) }

// ReadVec implements [backstores.VectorReader].
func (m *vmdk) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	total := backstores.Length(bufs)
	if err := backstores.CheckRange(m.size, off, total); err != nil {
		return fmt.Errorf("read %d bytes at %d: %w", total, off, err)
	}
	v := backstores.NewSegments(bufs)
	defer v.Free()
	start, end, follows, wait := off, off+total, m.next.Load() == off, f&backstores.NoWait == 0
	for off < end {
		part, inside := off/m.grain, off%m.grain
		n := min(end-off, m.grain-inside)
		at, err := m.find(part, wait)
		switch {
		case err != nil:
			return err
		case at == 0:
			v.Zero(n)
		default:
			p, slot, err := m.Use(decoded.Range{
				Part: part, Off: inside, N: n, Ends: inside+n == m.grain || off+n == m.size,
				Before: part - start/m.grain, After: (end-1)/m.grain - part, Follows: follows || off > start,
			}, wait)
			if err != nil {
				return err
			}
			v.Put(p)
			m.Done(slot)
		}
		off += n
	}
	m.next.Store(end)
	return nil
}

// Extent implements [backstores.Extenter]. It looks at 4096 entries at most.
func (m *vmdk) Extent(off int64) (n int64, data bool, err error) {
	if err := backstores.CheckRange(m.size, off, 1); err != nil {
		return 0, false, fmt.Errorf("extent at %d: %w", off, err)
	}
	first := off / m.grain
	at, err := m.find(first, true)
	for i := first; err == nil && i < first+4096 && n < m.size-off; i++ {
		if next, err := m.find(i, true); err != nil || (next == 0) != (at == 0) {
			break
		}
		n = (i+1)*m.grain - off
	}
	return min(n, m.size-off), at != 0, err
}

// find returns where a grain is in the file, or 0 if it is of zeros. Unless wait is
// set, it reads no table.
func (m *vmdk) find(grain int64, wait bool) (int64, error) {
	i := grain / vmdkPerTable
	if m.directory[i] == 0 {
		return 0, nil
	}
	table := m.tables[i].Load()
	if table == nil {
		if !wait {
			return 0, backstores.ErrWouldBlock
		}
		p := make([]uint32, vmdkPerTable)
		if err := m.readTable(p, int64(m.directory[i])); err != nil {
			return 0, fmt.Errorf("%s: grain table %d: %w", m.file.Name(), i, err)
		}
		table = &p
		m.tables[i].Store(table)
	}
	at := int64((*table)[grain%vmdkPerTable])
	if at == m.zeroEntry {
		at = 0
	}
	return at * sectorBytes, nil
}

// Encoded implements [decoded.Source].
func (m *vmdk) Encoded(i int64) bool {
	if i*m.grain >= m.size {
		return false
	}
	at, err := m.find(i, false)
	return err == nil && at != 0
}

// Decode implements [decoded.Source]. Before the zlib stream of a grain are its
// sector of the disk, in 8 bytes, and the size of the stream, in 4.
func (m *vmdk) Decode(i int64, in, out []byte) (zeros bool, err error) {
	at, err := m.find(i, true)
	if err != nil {
		return false, err
	}
	if err = readFull(m.file, in[:12], at); err == nil {
		in = in[:min(int64(binary.LittleEndian.Uint32(in[8:])), int64(len(in)))]
		if err = readFull(m.file, in, at+12); err == nil {
			err = inflate(out[:m.grain+1], in, int(min(m.grain, m.size-i*m.grain)))
		}
	}
	if changed := m.file.Changed(); changed != nil {
		err = changed
	}
	if err != nil {
		err = fmt.Errorf("%s: grain at %d, at %d in the file: %w", m.file.Name(), i*m.grain, at, err)
	}
	return false, err
}

// inflate decompresses a zlib stream to out, which is one byte larger than a grain, and
// compares its checksum. The last grain may end with the disk, after least bytes.
func inflate(out, in []byte, least int) error {
	z, err := zlib.NewReader(bytes.NewReader(in))
	if err != nil {
		return err
	}
	n := 0
	for k := 0; n < len(out) && err == nil; n += k {
		k, err = z.Read(out[n:])
	}
	switch {
	case err != nil && err != io.EOF:
		return err
	case n < least || n == len(out):
		return errors.New("does not decompress to the size of a grain")
	}
	clear(out[n:])
	return nil
}
