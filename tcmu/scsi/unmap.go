package scsi

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"time"

	"github.com/lunserve/lunserve/backstores"
)

// The limits in the Block Limits VPD page.
const (
	maxUnmapBytes       = 512 << 20
	maxUnmapDescriptors = 64
	maxWriteSameBytes   = 1 << 30
	unmapGranularity    = 4096 // bytes: the allocation unit of file systems

	unmapBit = 0x08 // in the second byte of a CDB
)

// Unmapping can be slow: where the host's file system passes it on to a disk, each
// extent of the image takes a millisecond or more. 512 MiB in 65,536 extents took
// 61 s, while Linux aborts a command after 30. So a command unmaps slice by slice,
// and stops after unmapTime. Even if 32 commands take turns with slices, the last
// one of each, 512 extents of 4 KiB between others, takes no longer than that.
const (
	sliceBytes = 4 << 20 // also the alignment of slices
	unmapTime  = 10 * time.Second
)

// sliced calls f for consecutive slices of n bytes at off. It holds the blocks of
// one slice at a time. SBC-4 does not ask for more: UNMAP and WRITE SAME are not
// atomic.
func (d *Disk) sliced(r request, name string, off, n int64, f func(off, n int64) error) error {
	size := int64(d.BlockSize)
	for at, end := off, off+n; at < end; {
		part := min(end-at, sliceBytes-at%sliceBytes)
		t := task{name: name, first: uint64(at / size), end: uint64((at + part) / size)}
		var ended error
		err := d.during(t, func() error {
			if ended = cmp.Or(d.sanitizer.inProgress(), d.conflict(r)); ended != nil { // it has begun meanwhile
				return nil
			}
			return f(at, part)
		})
		if ended != nil {
			return ended
		}
		if err != nil {
			return d.writeError(off, n, err)
		}
		at += part
	}
	return nil
}

// An extent is a range of the medium in bytes.
type extent struct{ off, n int64 }

// unmapList returns the ranges of the parameter list of an UNMAP, or the reason that the
// command fails.
func (d *Disk) unmapList(r request) (all []extent, err error) {
	length := int(binary.BigEndian.Uint16(r.cdb[7:]))
	if length == 0 {
		return nil, nil
	}
	if length < 8 {
		return nil, listLengthError
	}
	list, err := r.copyOut(length)
	if err != nil {
		return nil, err
	}
	descriptors := list[8:]
	descriptors = descriptors[:min(len(descriptors), int(binary.BigEndian.Uint16(list[2:])))]
	if len(descriptors)/16 > maxUnmapDescriptors {
		return nil, badParameter(2)
	}
	total := int64(0)
	for ; len(descriptors) >= 16; descriptors = descriptors[16:] {
		off, n, err := d.extent(binary.BigEndian.Uint64(descriptors), uint64(binary.BigEndian.Uint32(descriptors[8:])))
		if err != nil {
			return nil, err
		}
		total += n
		all = append(all, extent{off, n})
	}
	if total > maxUnmapBytes {
		return nil, badParameter(8)
	}
	return all, nil
}

// unmap is SBC-4, UNMAP command. It checks all ranges before it unmaps any. What
// it has not unmapped after unmapTime stays mapped and keeps its data, as SBC-4,
// Unmap operations, allows.
func (d *Disk) unmap(r request) (int, error) {
	extents, err := d.unmapList(r)
	if err != nil {
		return 0, err
	}
	if binary.BigEndian.Uint16(r.cdb[7:]) == 0 {
		return r.ignoreDataOut()
	}
	start := time.Now()
	for _, e := range extents {
		err := d.sliced(r, "UNMAP", e.off, e.n, func(off, n int64) error {
			if time.Since(start) > unmapTime {
				return nil
			}
			return backstores.Trim(d.store, off, n)
		})
		if err != nil {
			return 0, err
		}
	}
	d.count.trims.Add(1)
	return 0, d.flushIfWriteThrough()
}

// writeSame is SBC-4, WRITE SAME (10) and (16) command. It writes the one block
// of data-out, or zeros with NDOB, to each block. With UNMAP it unmaps the
// blocks instead if the data is zeros, as unmapped blocks read as zeros. What it
// has not unmapped after unmapTime it writes.
func (d *Disk) writeSame(r request) (int, error) {
	off, n, err := d.extent(r.blocks())
	if err != nil {
		return 0, err
	}
	if n == 0 || n > maxWriteSameBytes { // WSNZ is set: zero does not mean "to the end"
		return 0, badField(r.lengthOffset(), -1)
	}
	unmap := r.flag(unmapBit)
	block := make([]byte, d.BlockSize)
	if ndob := len(r.cdb) == 16 && r.flag(0x01); ndob {
		r.ignoreDataOut()
	} else {
		if r.room() != d.BlockSize {
			return 0, dataOutTooShort
		}
		if block, err = r.copyOut(d.BlockSize); err != nil {
			return 0, err
		}
	}
	zeros := len(bytes.TrimLeft(block, "\x00")) == 0
	many := copies(block)
	start := time.Now()
	err = d.sliced(r, "WRITE SAME", off, n, func(off, n int64) error {
		switch {
		case zeros && unmap && time.Since(start) <= unmapTime:
			return backstores.Trim(d.store, off, n)
		case zeros:
			return backstores.Zero(d.store, off, n)
		}
		return d.repeat(many, off, n)
	})
	switch {
	case err != nil:
		return 0, err
	case zeros && unmap:
		d.count.trims.Add(1)
		return 0, d.flushIfWriteThrough()
	}
	return 0, d.wrote(n, false)
}

// flushIfWriteThrough flushes if the cache is disabled, for changes that are not
// durable by themselves.
func (d *Disk) flushIfWriteThrough() error {
	if !d.mode.writeThrough.Load() {
		return nil
	}
	return d.flush()
}

// copies returns a chunk of copies of block, for repeat.
func copies(block []byte) []byte { return bytes.Repeat(block, chunk/len(block)) }

// repeat writes the blocks of many, which are the same, to n bytes at off.
func (d *Disk) repeat(many []byte, off, n int64) error {
	for end := off + n; off < end; {
		part := many[:min(end-off, int64(len(many)))]
		if err := backstores.WriteVec(d.store, [][]byte{part}, off, 0); err != nil {
			return err
		}
		off += int64(len(part))
	}
	return nil
}
