package qcow2

import (
	"encoding/binary"
	"errors"
)

// A Header is the header of an image, with its extensions and the name of its
// backing file. The fields are those of the specification.
type Header struct {
	Version     uint32
	ClusterBits uint32
	Size        uint64 // of the disk
	CryptMethod uint32

	L1Size           uint32 // entries
	L1At             uint64
	RefTableAt       uint64
	RefTableClusters uint32
	Snapshots        uint32
	SnapshotsAt      uint64

	Incompatible, Compatible, Autoclear uint64 // features

	RefcountOrder uint32
	Compression   uint8

	Extensions []Extension
	Backing    string // name of the backing file, or empty
}

// Offsets and sizes in a file.
const (
	FeaturesAt = 72  // the three fields of features, each of 8 bytes
	HeaderSize = 104 // of version 3, without a compression type

	magic       = 0x514649fb // "QFI\xfb"
	headerSize2 = 72         // of version 2
	maxName     = 1023       // length of the name of a backing file
)

// Incompatible features.
const (
	Dirty           = 1 << 0 // refcounts may be wrong
	Corrupt         = 1 << 1
	ExternalData    = 1 << 2 // the data is in another file
	CompressionType = 1 << 3 // of the header is not zlib
	ExtendedL2      = 1 << 4 // entries have a bitmap of subclusters
)

// Copied is the bit of an address for a cluster with refcount 1.
const Copied = 1 << 63

// Is reports whether p is the start of an image of version 2 or 3.
func Is(p []byte) bool { return Version(p) == 2 || Version(p) == 3 }

// Version returns the version of the image that begins with p, or 0 if it is no
// image of QEMU's formats qcow and qcow2.
func Version(p []byte) uint32 {
	if len(p) < HeaderSize || binary.BigEndian.Uint32(p) != magic {
		return 0
	}
	return binary.BigEndian.Uint32(p[4:])
}

// HasBacking reports whether p begins with a header of qcow or qcow2 that names a
// backing file.
func HasBacking(p []byte) bool { return Version(p) != 0 && binary.BigEndian.Uint64(p[8:]) != 0 }

// HasDataFile reports whether p begins with a header whose data is in another file.
func HasDataFile(p []byte) bool {
	return Version(p) == 3 && binary.BigEndian.Uint64(p[FeaturesAt:])&ExternalData != 0
}

// errName is the error of a header whose backing file has no usable name.
var errName = errors.New("the name of the backing file is too long, or outside the header")

// ParseHeader reads the header that p begins with: the first cluster of a file, or
// its first bytes. Only what is needed to find the parts of the header is checked.
func ParseHeader(p []byte) (*Header, error) {
	b := binary.BigEndian
	if !Is(p) {
		return nil, errors.New("is not a qcow2 image")
	}
	h := &Header{
		Version: b.Uint32(p[4:]), ClusterBits: b.Uint32(p[20:]), Size: b.Uint64(p[24:]), CryptMethod: b.Uint32(p[32:]),
		L1Size: b.Uint32(p[36:]), L1At: b.Uint64(p[40:]), RefTableAt: b.Uint64(p[48:]), RefTableClusters: b.Uint32(p[56:]),
		Snapshots: b.Uint32(p[60:]), SnapshotsAt: b.Uint64(p[64:]),
		RefcountOrder: 4,
	}
	length, err := headerLength(p)
	if err != nil {
		return nil, err
	}
	if h.Version == 3 {
		h.Incompatible, h.Compatible, h.Autoclear = b.Uint64(p[FeaturesAt:]), b.Uint64(p[FeaturesAt+8:]), b.Uint64(p[FeaturesAt+16:])
		h.RefcountOrder = b.Uint32(p[96:])
		if length > HeaderSize && len(p) > HeaderSize {
			h.Compression = p[HeaderSize]
		}
	}
	// The name of the backing file ends the extensions, if nothing else does.
	at, n := b.Uint64(p[8:]), uint64(b.Uint32(p[16:]))
	head := p
	if at != 0 {
		head = p[:min(at, uint64(len(p)))]
	}
	if h.Extensions, err = extensions(head, length); err != nil && err != errNoEnd {
		return nil, err
	}
	if at == 0 || n == 0 {
		return h, nil
	}
	if n > maxName || at > uint64(len(p)) || n > uint64(len(p))-at {
		return nil, errName
	}
	h.Backing = string(p[at : at+n])
	return h, nil
}

// Bytes returns the header as it is written to a file, of version 3.
func (h *Header) Bytes() []byte {
	p := make([]byte, HeaderSize)
	b := binary.BigEndian
	b.PutUint32(p, magic)
	b.PutUint32(p[4:], 3)
	b.PutUint32(p[16:], uint32(len(h.Backing)))
	b.PutUint32(p[20:], h.ClusterBits)
	b.PutUint64(p[24:], h.Size)
	b.PutUint32(p[32:], h.CryptMethod)
	b.PutUint32(p[36:], h.L1Size)
	b.PutUint64(p[40:], h.L1At)
	b.PutUint64(p[48:], h.RefTableAt)
	b.PutUint32(p[56:], h.RefTableClusters)
	b.PutUint32(p[60:], h.Snapshots)
	b.PutUint64(p[64:], h.SnapshotsAt)
	copy(p[FeaturesAt:], FeatureBytes(h.Incompatible, h.Compatible, h.Autoclear))
	b.PutUint32(p[96:], h.RefcountOrder)
	b.PutUint32(p[100:], HeaderSize)
	for _, e := range append(h.Extensions[:len(h.Extensions):len(h.Extensions)], Extension{}) {
		p = b.AppendUint32(b.AppendUint32(p, e.Type), uint32(len(e.Data)))
		p = append(p, e.Data...)
		p = append(p, make([]byte, -len(e.Data)&7)...)
	}
	if h.Backing != "" {
		b.PutUint64(p[8:], uint64(len(p)))
	}
	return append(p, h.Backing...)
}

// FeatureBytes returns the three fields at [FeaturesAt].
func FeatureBytes(incompatible, compatible, autoclear uint64) []byte {
	p := binary.BigEndian.AppendUint64(nil, incompatible)
	p = binary.BigEndian.AppendUint64(p, compatible)
	return binary.BigEndian.AppendUint64(p, autoclear)
}

// BackingFormat returns the name of the format of the backing file, or an empty
// string.
func (h *Header) BackingFormat() string { return string(h.extension(BackingFormat)) }

// CompressionName returns the name of the compression of clusters.
func (h *Header) CompressionName() string {
	if h.Compression == zstandard {
		return "zstd"
	}
	return "zlib"
}
