package overlay

import (
	"encoding/binary"
	"errors"
)

// HeaderBytes is the length of the part of a file in which the header is
// searched for extensions. A program that rewrites the header may put some of
// its own before ours: QEMU puts 400 bytes there.
const HeaderBytes = 16 << 10

// An extension is a header extension of a QCOW2 image.
type extension struct {
	kind uint32
	at   int64 // offset of the data in the file
	data []byte
}

// extensions returns the header extensions of the QCOW2 image that begins with
// p. If p ends before they do, extensions returns those in p, and an error.
func extensions(p []byte) (all []extension, err error) {
	b := binary.BigEndian
	at := int64(b.Uint32(p[100:]))
	if at < qcowHeaderSize || at%8 != 0 {
		return nil, errors.New("the header has a length that QCOW2 does not allow")
	}
	for at <= int64(len(p))-8 {
		kind, n := b.Uint32(p[at:]), int64(b.Uint32(p[at+4:]))
		at += 8
		if kind == 0 {
			return all, nil
		}
		if n > int64(len(p))-at {
			break
		}
		all = append(all, extension{kind, at, p[at : at+n]})
		at += roundUp(n, 8)
	}
	return all, errors.New("the header has no end")
}
