package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A header is the contents of an overlay's first cluster: a QCOW2 header of
// version 3 and, in a header extension, our record.
type header struct {
	layout
	base   string // path
	format string // of the base, by QEMU's name
	record record

	recordAt int64 // offset in the file
}

// A record holds what QCOW2 has no field for, in four parts that are written at
// different times. The checksums are CRC-32C.
//
//	0    4  checksum of 4-64
//	4    4  version: 1
//	8    8  size of the disk in bytes; QCOW2 counts sectors of 512
//	16   8  size of the base
//	24   8  modification time of the base in ns since 1970; 0 for a device
//	32  32  SHA-256 of samples of the base, see identify
//	64  16  session in which the marks were made
//	80   4  checksum of 88-120, once a commit has begun; never cleared
//	84   4  1 once the commit is complete
//	88  32  SHA-256 of samples of the base, saved when a commit began
type record struct {
	id         identity
	session    Session
	committing bool
	done       bool
	unchanged  [32]byte
}

const (
	recordType    = 0x6c756e73 // "luns"
	recordBytes   = 120
	recordVersion = 1
	sessionAt     = 64
	commitAt      = 80
	doneAt        = 84

	qcowMagic      = 0x514649fb // "QFI\xfb"
	qcowHeaderSize = 104
	formatType     = 0xe2792aca
	extendedL2     = 1 << 4 // an incompatible feature, which older programs cannot read
	maxNameBytes   = 1023

	// A disk of 1 PiB has 8 MiB of L1.
	maxBytes = 1 << 50
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *record) bytes(size int64) []byte {
	p := make([]byte, recordBytes)
	b := binary.BigEndian
	b.PutUint32(p[4:], recordVersion)
	b.PutUint64(p[8:], uint64(size))
	b.PutUint64(p[16:], uint64(r.id.size))
	b.PutUint64(p[24:], uint64(r.id.changed))
	copy(p[32:], r.id.digest[:])
	b.PutUint32(p, crc32.Checksum(p[4:64], castagnoli))
	copy(p[sessionAt:], r.session[:])
	if r.committing {
		copy(p[commitAt:], r.commitBytes())
	}
	if r.done {
		copy(p[doneAt:], doneBytes)
	}
	return p
}

// commitBytes returns the part that records that a commit has begun. If a power
// cut leaves only some of it the checksum is wrong, and the base is unchanged.
func (r *record) commitBytes() []byte {
	p := binary.BigEndian.AppendUint32(nil, crc32.Checksum(r.unchanged[:], castagnoli))
	return append(append(p, 0, 0, 0, 0), r.unchanged[:]...)
}

var doneBytes = []byte{0, 0, 0, 1}

func (r *record) parse(p []byte) (size int64, err error) {
	b := binary.BigEndian
	switch {
	case len(p) != recordBytes:
		return 0, fmt.Errorf("the record has %d bytes, not %d", len(p), recordBytes)
	case b.Uint32(p) != crc32.Checksum(p[4:64], castagnoli):
		return 0, errors.New("the record is damaged")
	case b.Uint32(p[4:]) != recordVersion:
		return 0, fmt.Errorf("the record has version %d; this lunserve supports version %d", b.Uint32(p[4:]), recordVersion)
	}
	r.id.size = int64(b.Uint64(p[16:]))
	r.id.changed = int64(b.Uint64(p[24:]))
	copy(r.id.digest[:], p[32:])
	copy(r.session[:], p[sessionAt:])
	copy(r.unchanged[:], p[commitAt+8:])
	r.committing = b.Uint32(p[commitAt:]) == crc32.Checksum(r.unchanged[:], castagnoli) && r.unchanged != [32]byte{}
	r.done = r.committing && b.Uint32(p[doneAt:]) != 0
	return int64(b.Uint64(p[8:])), nil
}

func (h *header) bytes() []byte {
	p := make([]byte, qcowHeaderSize)
	b := binary.BigEndian
	b.PutUint32(p, qcowMagic)
	b.PutUint32(p[4:], 3)
	b.PutUint32(p[16:], uint32(len(h.base)))
	b.PutUint32(p[20:], 17)                           // log2 of clusterBytes
	b.PutUint64(p[24:], uint64(roundUp(h.size, 512))) // of the disk
	b.PutUint32(p[36:], uint32(h.regions))            // entries in L1
	b.PutUint64(p[40:], uint64(h.l1))                 //
	b.PutUint64(p[48:], uint64(h.refTable))           //
	b.PutUint32(p[56:], uint32((h.refBlocks-h.refTable)/clusterBytes))
	b.PutUint64(p[72:], extendedL2)
	b.PutUint32(p[96:], 4) // log2 of the bits in a refcount
	b.PutUint32(p[100:], qcowHeaderSize)

	extend := func(kind uint32, data []byte) {
		p = b.AppendUint32(b.AppendUint32(p, kind), uint32(len(data)))
		p = append(p, data...)
		p = append(p, make([]byte, -len(data)&7)...)
	}
	extend(recordType, h.record.bytes(h.size))
	extend(formatType, []byte(h.format))
	extend(0, nil)
	b.PutUint64(p[8:], uint64(len(p)))
	return append(p, h.base...)
}

// ErrNoOverlay is the cause if a file is not an overlay at all.
var ErrNoOverlay = errors.New("is not an overlay")

// parseHeader parses the start of a file, at most the first cluster. Other
// programs may have changed the file, as long as it still has its layout.
func parseHeader(p []byte) (*header, error) {
	b := binary.BigEndian
	if len(p) < qcowHeaderSize+8 || b.Uint32(p) != qcowMagic {
		return nil, ErrNoOverlay
	}
	headerSize := int64(b.Uint32(p[100:]))
	if b.Uint32(p[4:]) != 3 || headerSize < qcowHeaderSize || headerSize > 4096 {
		return nil, errors.New("is a QCOW2 image that lunserve did not make")
	}
	h := new(header)
	found := false
	var size int64
	for at := headerSize; ; {
		if at > int64(len(p))-8 {
			return nil, errors.New("the header has no end")
		}
		kind, n := b.Uint32(p[at:]), int64(b.Uint32(p[at+4:]))
		at += 8
		if kind == 0 {
			break
		}
		if n > int64(len(p))-at {
			return nil, errors.New("the header has no end")
		}
		switch data := p[at : at+n]; kind {
		case recordType:
			var err error
			if size, err = h.record.parse(data); err != nil {
				return nil, err
			}
			h.recordAt, found = at, true
		case formatType:
			h.format = string(data)
		}
		at += roundUp(n, 8)
	}
	if !found {
		return nil, errors.New("is a QCOW2 image that lunserve did not make")
	}
	if size <= 0 || size > maxBytes || h.record.id.size <= 0 {
		return nil, fmt.Errorf("the record says that the disk has %d bytes", size)
	}
	h.layout = layOut(size)

	nameAt, nameLen := int64(b.Uint64(p[8:])), int64(b.Uint32(p[16:]))
	if nameLen == 0 || nameLen > maxNameBytes || nameAt < headerSize || nameAt > int64(len(p))-nameLen {
		return nil, errors.New("the header names no base")
	}
	h.base = string(p[nameAt : nameAt+nameLen])
	if bytes.IndexByte(p[nameAt:nameAt+nameLen], 0) >= 0 {
		return nil, errors.New("the header names no base")
	}
	// Everything else must be as we wrote it: no snapshots, no encryption, no
	// pending repair.
	want := h.bytes()
	if !bytes.Equal(p[20:100], want[20:100]) {
		return nil, errChanged
	}
	return h, nil
}

// errChanged is the cause if an overlay does not have its layout any more.
var errChanged = errors.New("was changed by another program, or is damaged")

// IsOverlay reports whether a file that begins with head is an overlay. The
// first 512 bytes are enough.
func IsOverlay(head []byte) bool {
	b := binary.BigEndian
	return len(head) > qcowHeaderSize+4 && b.Uint32(head) == qcowMagic && b.Uint32(head[qcowHeaderSize:]) == recordType
}

// BaseOf returns the path of the base in the overlay that begins with head, or
// an empty string. The first 16 KiB are enough.
func BaseOf(head []byte) string {
	h, err := parseHeader(head)
	if err != nil {
		return ""
	}
	return h.base
}
