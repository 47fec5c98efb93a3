package overlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/backstores/qcow2"
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

// HeaderBytes is the length of the part of a file in which the header is
// searched for extensions. A program that rewrites the header may put some of
// its own before ours: QEMU puts 400 bytes there.
const HeaderBytes = 16 << 10

const (
	maxNameBytes = 1023

	// A disk of 1 PiB has 8 MiB of L1.
	maxBytes = 1 << 50
)

func (h *header) bytes() []byte {
	incompatible, autoclear := features(h.marksCount)
	q := qcow2.Header{
		ClusterBits:      17, // log2 of clusterBytes
		Size:             uint64(roundUp(h.size, 512)),
		L1Size:           uint32(h.regions),
		L1At:             uint64(h.l1),
		RefTableAt:       uint64(h.refTable),
		RefTableClusters: uint32((h.refBlocks - h.refTable) / clusterBytes),
		Incompatible:     incompatible,
		Autoclear:        autoclear,
		RefcountOrder:    4,
		Extensions: []qcow2.Extension{
			{Type: recordType, Data: h.record.bytes(h.size)},
			{Type: qcow2.BackingFormat, Data: []byte(h.format)},
			{Type: qcow2.FeatureNames, Data: featureNames},
		},
		Backing: h.base,
	}
	return q.Bytes()
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
	switch v := qcow2.Version(p); {
	case v == 0 || len(p) < qcow2.HeaderSize+8:
		return nil, ErrNoOverlay
	case v != 3:
		return nil, errNotOurs
	case b.Uint64(p[qcow2.FeaturesAt:])&qcow2.ExternalData != 0:
		return nil, errDataFile
	}
	h := new(header)
	var size int64
	all, err := qcow2.Extensions(p)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		switch e.Type {
		case recordType:
			if size, err = h.record.parse(e.Data); err != nil {
				return nil, err
			}
			h.recordAt = e.At
		case qcow2.BackingFormat:
			h.format = string(e.Data)
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
	if nameLen == 0 || nameLen > maxNameBytes || nameAt < qcow2.HeaderSize || nameAt > int64(len(p))-nameLen {
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
	if qcow2.Version(head) != 3 {
		return false
	}
	all, _ := qcow2.Extensions(head)
	return slices.ContainsFunc(all, func(e qcow2.Extension) bool { return e.Type == recordType })
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
