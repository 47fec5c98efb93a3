package seekable

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The seek table is a skippable frame, all numbers little-endian:
//
//	magic 0x184D2A5E, size of the rest
//	for each frame: encoded size, decoded size, and perhaps a checksum
//	number of frames, descriptor (bit 7: checksums), magic 0x8F92EAB1
//
// Its frames fill the file from the start, in this order.
const (
	tableFrame  = 0x184D2A5E
	tableMagic  = 0x8F92EAB1
	tableHeader = 8
	tableFooter = 9

	hasSums  = 1 << 7
	reserved = 0x7c // must be 0; the two lowest bits are ignored
)

// errNoTable is the error of a file without a table, or with one that may not be
// believed, such as that of the second of two concatenated files.
var errNoTable = errors.New("no seek table")

// errUnchecked is the error of a table that takes too long to check.
var errUnchecked = errors.New("seek table not checked")

// readTable reads the seek table of the size bytes in r, until ctx is done. The
// package comment says which tables are believed.
func readTable(ctx context.Context, r io.ReaderAt, size, limit int64, progress Progress) (*Index, error) {
	var foot [tableFooter]byte
	if size < tableHeader+tableFooter {
		return nil, errNoTable
	}
	if err := readFull(r, foot[:], size-tableFooter); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(foot[:]))
	descriptor := foot[4]
	if binary.LittleEndian.Uint32(foot[5:]) != tableMagic || descriptor&reserved != 0 {
		return nil, errNoTable
	}
	entry := int64(8)
	if descriptor&hasSums != 0 {
		entry = 12
	}
	start := size - tableFooter - n*entry - tableHeader
	if start < 0 {
		return nil, errNoTable
	}
	var head [tableHeader]byte
	if err := readFull(r, head[:], start); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(head[:]) != tableFrame ||
		int64(binary.LittleEndian.Uint32(head[4:])) != n*entry+tableFooter {
		return nil, errNoTable
	}

	// Memory grows with the entries that were checked. The footer is not trusted.
	x := &Index{Source: FromTable, Sums: descriptor&hasSums != 0}
	c := newChecker(x, r, start, limit)
	defer c.close()
	buf := make([]byte, min(n, 4096)*entry)
	var off int64
	for at := start + tableHeader; n > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		progress.report(off, start)
		p := buf[:min(n*entry, int64(len(buf)))]
		if err := readFull(r, p, at); err != nil {
			return nil, err
		}
		at += int64(len(p))
		n -= int64(len(p)) / entry
		for ; len(p) > 0; p = p[entry:] {
			f := frame{off: off, start: int64(binary.LittleEndian.Uint32(p[4:])), csize: binary.LittleEndian.Uint32(p)}
			if int64(f.csize) > start-off {
				return nil, errNoTable
			}
			if x.Sums {
				f.sum = binary.LittleEndian.Uint32(p[8:])
			}
			if err := c.add(f, limit); err != nil {
				return nil, err
			}
			off += int64(f.csize)
		}
	}
	if off != start || !c.last() {
		return nil, c.failed()
	}
	x.settle()
	return x, nil
}

// A table builds a seek table.
type table struct {
	n   int64
	buf []byte
}

func (t *table) add(csize, dsize, sum uint32) {
	if t.n == 0 {
		t.buf = make([]byte, tableHeader, 64<<10)
	}
	t.n++
	t.buf = binary.LittleEndian.AppendUint32(t.buf, csize)
	t.buf = binary.LittleEndian.AppendUint32(t.buf, dsize)
	t.buf = binary.LittleEndian.AppendUint32(t.buf, sum)
}

func (t *table) bytes() []byte {
	if t.n == 0 {
		t.buf = make([]byte, tableHeader)
	}
	b := binary.LittleEndian.AppendUint32(t.buf, uint32(t.n))
	b = append(b, hasSums)
	b = binary.LittleEndian.AppendUint32(b, tableMagic)
	binary.LittleEndian.PutUint32(b, tableFrame)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-tableHeader))
	return b
}

// readFull fills p, or returns an error.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
}
