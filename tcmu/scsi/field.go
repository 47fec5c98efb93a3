package scsi

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
)

// A field is a part of a CDB that means something. The fields of a command
// stand in its row in the order of the CDB: each takes the next bits that may
// be set there, within a group of the usage data, and all bits are taken.
type field struct {
	bits int // how many it takes; 0 is all that are left of the group

	// say is what the value v means: a figure, which is said first, or a word,
	// or nothing.
	say func(d *Disk, r request, v uint64) (figure, word string)
}

// fields are those of a command.
type fields []field

// A part is a field in its place.
type part struct {
	field
	at, bits int // from the first bit of the CDB, its highest
}

// value is what stands there.
func (p part) value(cdb []byte) (v uint64) {
	for at := p.at; at < p.at+p.bits; at++ {
		v = v<<1 | uint64(cdb[at/8]>>(7-at%8)&1)
	}
	return v
}

// parts puts the fields of a command in their places.
func (c *command) parts() (all []part, err error) {
	fields, start := c.fields, 0
	for group := range strings.FieldsSeq(c.usage) {
		mask, err := hex.DecodeString(group)
		if err != nil {
			return nil, err
		}
		var free []int
		for i := range 8 * len(mask) {
			at := start + i
			isServiceAction := c.sa != none && at/8 == 1 && at%8 >= 3
			if at >= 8 && !isServiceAction && mask[i/8]>>(7-i%8)&1 != 0 {
				free = append(free, at)
			}
		}
		for len(free) > 0 {
			if len(fields) == 0 {
				return nil, fmt.Errorf("bit %d is of no field", free[0])
			}
			n := cmp.Or(fields[0].bits, len(free))
			if n > len(free) || free[n-1]-free[0] != n-1 {
				return nil, fmt.Errorf("no %d bits at %d", n, free[0])
			}
			all = append(all, part{fields[0], free[0], n})
			fields, free = fields[1:], free[n:]
		}
		start += 8 * len(mask)
	}
	if len(fields) > 0 {
		return nil, fmt.Errorf("no bits for %d fields", len(fields))
	}
	return all, nil
}

// number is a field that is always said.
func number(name string) field {
	return field{say: func(_ *Disk, _ request, v uint64) (figure, word string) {
		return fmt.Sprint(name, " ", v), ""
	}}
}

// option is a number that is said if it is not zero.
func option(name string, bits int) field {
	return field{bits: bits, say: func(_ *Disk, _ request, v uint64) (figure, word string) {
		if v == 0 {
			return "", ""
		}
		return "", fmt.Sprint(name, " ", v)
	}}
}

// choice is a field whose values have names, of which some may be empty.
func choice(names ...string) field {
	return field{bits: bits.Len(uint(len(names) - 1)), say: func(_ *Disk, _ request, v uint64) (figure, word string) {
		return "", names[v]
	}}
}

// flag is a bit that is said if it is set.
func flag(name string) field { return choice("", name) }
