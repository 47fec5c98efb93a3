package scsi

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// A flatStore is memory whose extents are single blocks. It counts calls that a
// command could make without end.
type flatStore struct {
	bytes   []byte
	extents int
}

func (s *flatStore) Size() int64  { return int64(len(s.bytes)) }
func (s *flatStore) Close() error { return nil }
func (s *flatStore) Flush() error { return nil }
func (s *flatStore) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, s.bytes[off:]), nil
}
func (s *flatStore) WriteAt(p []byte, off int64) (int, error) {
	return copy(s.bytes[off:], p), nil
}
func (s *flatStore) Trim(off, n int64) error {
	clear(s.bytes[off:][:n])
	return nil
}
func (s *flatStore) Extent(off int64) (int64, bool, error) {
	s.extents++
	return 512 - off%512, off/512%2 == 0, nil
}

// largest returns a CDB of the row for as many bytes from block 1 on as it can
// name, up to most, and those bytes.
func (r *row) largest(blockSize, most int) (cdb []byte, n int) {
	cdb = r.emptyCDB()
	lba, count := 0, most/blockSize
	at, bytes := 0, 0 // of the number of blocks
	switch len(cdb) {
	case 6:
		lba, at, bytes, count = 3, 4, 1, 255
	case 10:
		lba, at, bytes, count = 5, 7, 2, min(count, 0xffff)
	case 12:
		lba, at, bytes = 5, 6, 4
	case 16:
		lba, at, bytes = 9, 10, 4
	}
	if r.op == 0x89 {
		count = maxCompareAndWrite
	}
	if r.attrs&(locks|changes) != 0 && r.op != 0x42 && r.op != 0x48 {
		cdb[lba] = 1
		for i := range bytes {
			cdb[at+bytes-1-i] = byte(count >> (8 * i))
		}
		return cdb, count * blockSize
	}
	for _, p := range r.parts { // an allocation length, or that of a list
		if p.bits < 8 {
			continue
		}
		if number, _ := p.describe(&Disk{}, request{cdb: cdb}, 7); number == "allocation 7" || number == "length 7" {
			for i := range p.bits / 8 {
				cdb[p.at/8+i] = 0xff
			}
		}
	}
	return cdb, 0
}

// Each command of the table gets 32 MiB of data in odd pieces. No command copies
// more than a chunk of 1 MiB, whatever its data, and only the blocks that it names
// change.
func TestCommandsTakeLimitedMemory(t *testing.T) {
	size := MaxTransfer + 64<<10
	if raceEnabled {
		size /= 8
	}
	zeros := make([]byte, size)
	pattern := bytes.Repeat([]byte("lunserve is not "), size/16)
	ored := bytes.Clone(pattern)
	for i := range ored {
		ored[i] |= 0x55
	}
	fives := bytes.Repeat([]byte{0x55}, size)
	const blockSize = 4096 // 65,535 blocks are more than 32 MiB
	s := &flatStore{bytes: make([]byte, size)}
	d := NewDisk(s, Options{BlockSize: blockSize, Serial: testSerial, NAA: testNAA, Removable: true})
	for _, row := range d.rows {
		for _, flags := range []byte{0, bytchk1, bytchk3, fua, unmapBit} {
			cdb, n := row.largest(blockSize, size-64<<10)
			if flags != 0 && (flags&^row.usage[1] != 0 || n == 0 || len(cdb) == 6) {
				continue
			}
			cdb[1] |= flags
			name := fmt.Sprintf("%s, %x", row.name, cdb)

			// What is there before, what is sent, and what is there afterwards.
			before, data, after := pattern, bytes.Clone(pattern[blockSize:][:size-64<<10]), []byte(nil)
			switch low := row.op & 0x1f; {
			case row.op == 0x89:
				data = append(data[:n:n], fives[:n]...)
				after = fives
			case row.op == 0x8b:
				copy(data, fives)
				after = ored
			case row.op == 0x41 || row.op == 0x93:
				data = bytes.Clone(fives[:blockSize])
				if after = fives; flags == unmapBit {
					clear(data)
					after = zeros
				}
			case row.attrs&changes != 0 && (low == 0x0a || low == 0x0e): // WRITE, WRITE AND VERIFY
				copy(data, fives)
				after = fives
			case flags == bytchk3:
				before = zeros
				clear(data)
			}
			copy(s.bytes, before)
			bufs := split(data, 1, 4095, 65537, 511, 100_000)
			s.extents = 0
			var was, is runtime.MemStats
			runtime.ReadMemStats(&was)
			r, err := d.Execute(cdb, bufs, true)
			runtime.ReadMemStats(&is)
			if got := is.TotalAlloc - was.TotalAlloc; got > 1<<20 {
				t.Errorf("%s: allocated %d bytes", name, got)
			}
			if s.extents > maxExtents+1 {
				t.Errorf("%s: looked at %d extents", name, s.extents)
			}
			if err != nil || n > 0 && r.Status != good {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			if row.op != 0x48 { // SANITIZE changes all of the disk
				off := blockSize
				if !bytes.Equal(s.bytes[:off], before[:off]) || !bytes.Equal(s.bytes[off+n:], before[off+n:]) {
					t.Errorf("%s: changed blocks that it does not name", name)
				}
				if after == nil {
					after = before
				}
				if !bytes.Equal(s.bytes[off:off+n], after[off:off+n]) {
					t.Errorf("%s: wrong contents", name)
				}
			}
			execute(t, d, unhex(start))
		}
	}
}

// The log page is an estimate where there are more extents than a command looks
// at, and exact for a hole of any size.
func TestProvisioningLogLooksAtFewExtents(t *testing.T) {
	s := &flatStore{bytes: make([]byte, 512*maxExtents*4)}
	d := NewDisk(s, Options{BlockSize: 512})
	used := func(d *Disk) uint64 {
		b := dataIn(t, d, "4d 00 4c 00 00 0000 00ff 00")
		return uint64(b[8])<<24 | uint64(b[9])<<16 | uint64(b[10])<<8 | uint64(b[11])
	}
	if n := used(d); n < maxExtents*2-10 || n > maxExtents*2+10 || s.extents > maxExtents {
		t.Errorf("%d blocks of %d, after %d extents", n, maxExtents*4, s.extents)
	}
	h := &holeOnly{size: 1<<63 - 512}
	if n := used(NewDisk(h, Options{BlockSize: 512})); n != 0 || h.extents != 1 {
		t.Errorf("a hole: %d blocks, after %d extents", n, h.extents)
	}
}

// A run of many extents of one kind is cut short.
func TestLBAStatusLooksAtFewExtents(t *testing.T) {
	s := &dataOnly{flatStore{bytes: make([]byte, 512*maxExtents*4)}}
	b := dataIn(t, NewDisk(s, Options{BlockSize: 512}), "9e 12 0000000000000000 00001000 00 00")
	if want := unhex("00000014 00000000 0000000000000000 00010000 00000000"); !bytes.Equal(b, want) || s.extents != maxExtents {
		t.Errorf("% x, want % x, after %d extents", b, want, s.extents)
	}
}

// A dataOnly has an extent for each block, and all are data.
type dataOnly struct{ flatStore }

func (s *dataOnly) Extent(off int64) (int64, bool, error) {
	n, _, err := s.flatStore.Extent(off)
	return n, true, err
}

// A holeOnly is a hole of any size.
type holeOnly struct {
	flatStore
	size int64
}

func (h *holeOnly) Size() int64 { return h.size }
func (h *holeOnly) Extent(off int64) (int64, bool, error) {
	h.extents++
	return h.size - off, false, nil
}

var _ backstores.Extenter = (*holeOnly)(nil)
