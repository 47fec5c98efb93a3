package scsi

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
)

// A field is a field of a CDB, for Describe. The fields of a row are in the order
// of the CDB. Each takes the next bits that may be set, within one group of the
// usage data, and together they take all of them.
type field struct {
	bits   int  // its width; 0 takes the rest of the group
	length bool // it is how many bytes of data there are, at most

	// describe describes the value v as a number, which goes before all words,
	// or as a word. Either may be empty.
	describe func(d *Disk, r request, v uint64) (number, word string)
}

type fields []field

// A part is a field with its position.
type part struct {
	field
	at, bits int // in bits from the highest bit of the first byte
}

// value returns the value of the field.
func (p part) value(cdb []byte) (v uint64) {
	for at := p.at; at < p.at+p.bits; at++ {
		v = v<<1 | uint64(cdb[at/8]>>(7-at%8)&1)
	}
	return v
}

// parts computes the positions of the fields of a command.
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
				return nil, fmt.Errorf("bit %d belongs to no field", free[0])
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

// number returns a numeric field that is always described.
func number(name string) field {
	return field{describe: func(_ *Disk, _ request, v uint64) (number, word string) {
		return fmt.Sprint(name, " ", v), ""
	}}
}

// length returns a numeric field that is how many bytes of data there are, at most.
func length(name string) field {
	f := number(name)
	f.length = true
	return f
}

// option returns a numeric field that is described unless it is zero.
func option(name string, bits int) field {
	return field{bits: bits, describe: func(_ *Disk, _ request, v uint64) (number, word string) {
		if v == 0 {
			return "", ""
		}
		return "", fmt.Sprint(name, " ", v)
	}}
}

// choice returns a field with a name for each value; names may be empty.
func choice(names ...string) field {
	return field{bits: bits.Len(uint(len(names) - 1)), describe: func(_ *Disk, _ request, v uint64) (number, word string) {
		return "", names[v]
	}}
}

// flag returns a bit that is described if it is set.
func flag(name string) field { return choice("", name) }
