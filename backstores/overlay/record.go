package overlay

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

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
		return 0, fmt.Errorf("%w: the record has a wrong checksum", ErrChanged)
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
