package qcow2

import (
	"encoding/binary"
	"errors"
	"strings"
)

// An Extension is a header extension.
type Extension struct {
	Type uint32
	Data []byte
	At   int64 // offset of the data in the file, if it was read
}

// Types of header extensions.
const (
	BackingFormat = 0xe2792aca // the name of a format
	FeatureNames  = 0x6803f857
	Bitmaps       = 0x23852875
)

var (
	errNoEnd     = errors.New("the header has no end")
	errExtension = errors.New("a header extension is larger than the header")
)

// Extensions returns the header extensions of the image that begins with p. If p
// ends before they do, Extensions returns those in p, and an error.
func Extensions(p []byte) ([]Extension, error) {
	at, err := headerLength(p)
	if err != nil {
		return nil, err
	}
	return extensions(p, at)
}

// headerLength returns where the extensions of the image that begins with p begin.
func headerLength(p []byte) (int64, error) {
	if Version(p) != 3 {
		return headerSize2, nil
	}
	n := int64(binary.BigEndian.Uint32(p[100:]))
	if n < HeaderSize || n%8 != 0 {
		return 0, errors.New("the header has a length that QCOW2 does not allow")
	}
	return n, nil
}

// extensions returns the header extensions from p[at:].
func extensions(p []byte, at int64) (all []Extension, err error) {
	b := binary.BigEndian
	for at < int64(len(p)) {
		if at > int64(len(p))-8 {
			return all, errExtension
		}
		kind, n := b.Uint32(p[at:]), int64(b.Uint32(p[at+4:]))
		at += 8
		if kind == 0 {
			return all, nil
		}
		if n > int64(len(p))-at {
			return all, errExtension
		}
		all = append(all, Extension{kind, p[at : at+n], at})
		at += (n + 7) &^ 7
	}
	return all, errNoEnd
}

// extension returns the data of the extension of a type.
func (h *Header) extension(kind uint32) []byte {
	for _, e := range h.Extensions {
		if e.Type == kind {
			return e.Data
		}
	}
	return nil
}

// featureNameBytes is the size of an entry of a feature name table: the field, the
// bit, and the name.
const featureNameBytes = 48

// FeatureName returns an entry of a feature name table. field is 0 for incompatible
// features, 1 for compatible ones, 2 for autoclear.
func FeatureName(field, bit byte, name string) []byte {
	p := append([]byte{field, bit}, name...)
	return append(p, make([]byte, featureNameBytes-len(p))...)
}

// featureName returns the name that the image gives to an incompatible feature, or
// an empty string.
func (h *Header) featureName(bit byte) string {
	for p := h.extension(FeatureNames); len(p) >= featureNameBytes; p = p[featureNameBytes:] {
		if p[0] == 0 && p[1] == bit {
			name, _, _ := strings.Cut(string(p[2:featureNameBytes]), "\x00")
			return name
		}
	}
	return ""
}
