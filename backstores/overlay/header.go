package overlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A header is the contents of an overlay's first cluster: a QCOW2 header of
// version 3 and, in a header extension, our record.
type header struct {
	layout
	base   string // path
	format string // of the base, by QEMU's name
	record record

	recordAt   int64 // offset in the file
	marksCount bool  // in the session of the record; see [Session]
}

const (
	qcowMagic      = 0x514649fb // "QFI\xfb"
	qcowHeaderSize = 104
	formatType     = 0xe2792aca
	namesType      = 0x6803f857 // the names of features
	bitmapsType    = 0x23852875
	maxNameBytes   = 1023

	// A disk of 1 PiB has 8 MiB of L1.
	maxBytes = 1 << 50
)

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
	copy(p[featuresAt:], features(h.marksCount))
	b.PutUint32(p[96:], 4) // log2 of the bits in a refcount
	b.PutUint32(p[100:], qcowHeaderSize)

	extend := func(kind uint32, data []byte) {
		p = b.AppendUint32(b.AppendUint32(p, kind), uint32(len(data)))
		p = append(p, data...)
		p = append(p, make([]byte, -len(data)&7)...)
	}
	extend(recordType, h.record.bytes(h.size))
	extend(formatType, []byte(h.format))
	extend(namesType, featureNames)
	extend(0, nil)
	b.PutUint64(p[8:], uint64(len(p)))
	return append(p, h.base...)
}

// ErrNoOverlay is the cause if a file is not an overlay at all.
var ErrNoOverlay = errors.New("is not an overlay")

var (
	errNotOurs = fmt.Errorf("%w, but a QCOW2 image that lunserve did not make", ErrNoOverlay)
	// It is not ErrChanged: QEMU would open the file that the header names.
	errDataFile = fmt.Errorf("%w, but a QCOW2 image whose data is in another file", ErrNoOverlay)
)

// parseHeader parses the start of a file, at most the first cluster. Other
// programs may have changed the file, as long as it still has its layout.
func parseHeader(p []byte) (*header, error) {
	b := binary.BigEndian
	if len(p) < qcowHeaderSize+8 || b.Uint32(p) != qcowMagic {
		return nil, ErrNoOverlay
	}
	if b.Uint32(p[4:]) != 3 {
		return nil, errNotOurs
	}
	if b.Uint64(p[featuresAt:])&dataFileBit != 0 {
		return nil, errDataFile
	}
	h := new(header)
	var size int64
	all, err := extensions(p)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		switch e.kind {
		case recordType:
			if size, err = h.record.parse(e.data); err != nil {
				return nil, err
			}
			h.recordAt = e.at
		case formatType:
			h.format = string(e.data)
		}
	}
	if h.recordAt == 0 {
		return nil, errNotOurs
	}
	if size <= 0 || size > maxBytes || h.record.id.size <= 0 {
		return nil, fmt.Errorf("the record says that the disk has %d bytes", size)
	}
	h.layout = layOut(size)

	h.marksCount = marksCount(p)
	if err := h.foreign(p, all); err != nil {
		return nil, err
	}
	nameAt, nameLen := int64(b.Uint64(p[8:])), int64(b.Uint32(p[16:]))
	if nameLen == 0 || nameLen > maxNameBytes || nameAt < qcowHeaderSize || nameAt > int64(len(p))-nameLen {
		return nil, fmt.Errorf("%w: its header names no base", ErrChanged)
	}
	h.base = string(p[nameAt : nameAt+nameLen])
	if strings.Contains(h.base, "\x00") {
		return nil, fmt.Errorf("%w: its header names no base", ErrChanged)
	}
	return h, nil
}

// IsOverlay reports whether a file that begins with head is an overlay. The
// first [HeaderBytes] are enough.
func IsOverlay(head []byte) bool {
	b := binary.BigEndian
	if len(head) < qcowHeaderSize || b.Uint32(head) != qcowMagic || b.Uint32(head[4:]) != 3 {
		return false
	}
	all, _ := extensions(head)
	return slices.ContainsFunc(all, func(e extension) bool { return e.kind == recordType })
}

// BaseOf returns the path of the base in the overlay that begins with head, or
// an empty string. The first [HeaderBytes] are enough.
func BaseOf(head []byte) string {
	h, err := parseHeader(head)
	if err != nil {
		return ""
	}
	return h.base
}
