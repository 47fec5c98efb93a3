package qcow2

import "sync"

// The base and the number of extra bits of lengths and distances (RFC 1951 §3.2.5).
var (
	lengths, distances [maxDist]uint32
)

func init() {
	base := 3
	for i := range 28 {
		extra := max(i/4-1, 0)
		lengths[i] = uint32(base)<<valueShift | match | uint32(extra)<<extraShift
		base += 1 << extra
	}
	lengths[28] = 258<<valueShift | match
	base = 1
	for i := range 30 {
		extra := max(i/2-1, 0)
		distances[i] = uint32(base)<<valueShift | match | uint32(extra)<<extraShift
		base += 1 << extra
	}
}

// litSymbol is the entry of a literal or length.
func litSymbol(s int) uint32 {
	switch {
	case s < 256:
		return uint32(s)<<valueShift | literal
	case s == 256:
		return endOfBlock
	}
	return lengths[s-257] // those that do not exist are 0, which is invalid
}

func distSymbol(s int) uint32 { return distances[s] }

// fixedCodes returns the codes of blocks that have none of their own.
var fixedCodes = sync.OnceValue(func() *inflater {
	f := new(inflater)
	lens := f.lens[:maxLit]
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	f.lit.build(lens, litSymbol)
	for i := range maxDist {
		f.lens[i] = 5
	}
	f.dist.build(f.lens[:maxDist], distSymbol)
	return f
})

// readCodes reads the codes of a block (RFC 1951 §3.2.7).
func (f *inflater) readCodes() error {
	f.refill()
	lits, dists, codes := f.take(5)+257, f.take(5)+1, f.take(4)+4
	if lits > 286 || dists > 30 {
		return errDeflate
	}
	var lens [19]uint8
	order := [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	for _, i := range order[:codes] {
		f.refill()
		lens[i] = uint8(f.take(3))
	}
	// The table of distances is not in use yet.
	if err := f.dist.build(lens[:], func(s int) uint32 { return uint32(s)<<valueShift | match }); err != nil {
		return err
	}
	if !complete(lens[:]) {
		return errCodes
	}
	all := f.lens[:lits+dists]
	for i := 0; i < len(all); {
		f.refill()
		e := f.dist.next(f)
		if e&kindMask != match || f.n < 0 {
			return errDeflate
		}
		var value uint8
		n := 1
		switch s := e >> valueShift; s {
		case 16:
			if i == 0 {
				return errDeflate
			}
			value, n = all[i-1], 3+f.take(2)
		case 17:
			n = 3 + f.take(3)
		case 18:
			n = 11 + f.take(7)
		default:
			value = uint8(s)
		}
		if n > len(all)-i {
			return errDeflate
		}
		for range n {
			all[i] = value
			i++
		}
	}
	if all[256] == 0 { // the block would have no end
		return errCodes
	}
	if err := f.lit.build(all[:lits], litSymbol); err != nil {
		return err
	}
	return f.dist.build(all[lits:], distSymbol)
}

// complete reports whether codes of these lengths are all codes there are.
func complete(lens []uint8) bool {
	sum := 0
	for _, n := range lens {
		if n > 0 {
			sum += 1 << (maxCode - n)
		}
	}
	return sum == 1<<maxCode
}
