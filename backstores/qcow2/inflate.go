package qcow2

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"sync"

	"github.com/lunserve/lunserve/backstores/decoded"
)

// A cluster is small and decompressed as a whole, so this decoder of deflate streams
// (RFC 1951) works from memory to memory, without the window and the calls of one
// that reads from an io.Reader: 160 µs for a cluster of 64 KiB with files of /usr, and
// klauspost/compress takes 260 (CPU time, AMD EPYC, 2 shared cores, 2026-11-28). It
// decides how fast zlib images are.

// An inflater decodes one stream at a time. They are pooled for their tables.
type inflater struct {
	in   []byte
	pos  int    // of the next byte in in
	bits uint64 // bits that are read and not used, the next in bit 0
	n    int    // of them; negative if more was used than there is

	lit, dist huffman
	lens      [maxLit + maxDist]uint8
}

const (
	maxLit  = 288 // literals and lengths
	maxDist = 32
)

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

var (
	errDeflate = errors.New("is no deflate stream")
	errCodes   = errors.New("has codes that zlib refuses, though others do not")
)

// inflate fills out, which has room for [decoded.Slack] bytes after it, with the
// deflate stream that in begins with. What follows in the stream is not looked at:
// the size of a compressed cluster is known in sectors only.
func inflate(out, in []byte) error {
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	f.in, f.pos, f.bits, f.n = in, 0, 0, 0
	defer func() { f.in = nil }()
	n, err := f.blocks(out[:len(out)+decoded.Slack], len(out))
	switch {
	case f.n < 0:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case n < len(out):
		return errClusterSize
	}
	return nil
}

// refill makes 56 bits available or, at the end of the stream, those that are left.
func (f *inflater) refill() {
	if f.pos+8 <= len(f.in) {
		f.bits |= binary.LittleEndian.Uint64(f.in[f.pos:]) << (f.n & 63)
		f.pos += (63 - f.n) >> 3
		f.n |= 56
		return
	}
	for f.n <= 56 && f.pos < len(f.in) {
		f.bits |= uint64(f.in[f.pos]) << (f.n & 63)
		f.pos++
		f.n += 8
	}
}

// take returns the next k bits, which refill has made available.
func (f *inflater) take(k int) int {
	v := int(f.bits & (1<<k - 1))
	f.bits >>= k
	f.n -= k
	return v
}

// maxBlocks returns how many blocks a stream of n bytes may have. A block has its own
// codes, which take a microsecond and may be for nothing; zlib writes blocks of 127
// symbols at least.
func maxBlocks(n int) int { return 4096 + n/64 }

// blocks decodes blocks until there are want bytes in out, or the last has ended.
func (f *inflater) blocks(out []byte, want int) (at int, err error) {
	for last, n := 0, 0; last == 0 && at < want; n++ {
		if n == maxBlocks(want) {
			return at, errDeflate
		}
		f.refill()
		last = f.take(1)
		lit, dist := &f.lit, &f.dist
		switch f.take(2) {
		case 0:
			at, err = f.stored(out, at, want)
			if err != nil {
				return at, err
			}
			continue
		case 1:
			fixed := fixedCodes()
			lit, dist = &fixed.lit, &fixed.dist
		case 2:
			err = f.readCodes()
		default:
			err = errDeflate
		}
		if err == nil && f.n >= 0 {
			at, err = f.block(out, at, want, lit, dist)
		}
		if err != nil || f.n < 0 {
			return at, err
		}
	}
	return at, nil
}

// stored copies a stored block.
func (f *inflater) stored(out []byte, at, want int) (int, error) {
	f.take(f.n & 7)
	f.refill()
	n, complement := f.take(16), f.take(16)
	if f.n < 0 {
		return at, io.ErrUnexpectedEOF
	}
	if n != ^complement&0xffff {
		return at, errDeflate
	}
	f.pos -= f.n / 8
	f.bits, f.n = 0, 0
	n = min(n, want-at)
	if n > len(f.in)-f.pos {
		return at, io.ErrUnexpectedEOF
	}
	copy(out[at:at+n], f.in[f.pos:])
	f.pos += n
	return at + n, nil
}

// block decodes a block of symbols to out, from at up to want.
func (f *inflater) block(out []byte, at, want int, lit, dist *huffman) (int, error) {
	for at < want {
		f.refill()
		if f.n < 0 {
			return at, nil
		}
		e := lit.next(f)
		// Literals often come in a row. 41 more bits are there, enough for two.
		for k := 0; e&kindMask == literal; k++ {
			out[at] = byte(e >> valueShift)
			if at++; at == want {
				return at, nil
			}
			if k == 2 {
				f.refill()
				k = 0
			}
			e = lit.next(f)
		}
		if f.n < 0 {
			return at, nil
		}
		f.refill()
		switch e & kindMask {
		case endOfBlock:
			return at, nil
		case invalid:
			return at, errDeflate
		}
		n := int(e>>valueShift) + f.take(int(e>>extraShift&0xf))
		e = dist.next(f)
		if e&kindMask != match {
			return at, errDeflate
		}
		back := int(e>>valueShift) + f.take(int(e>>extraShift&0xf))
		if back > at {
			return at, errDeflate
		}
		end := min(at+n, want)
		switch {
		case back >= 8 && n <= 16:
			// Up to 16 bytes past the end, where what follows is written later.
			binary.LittleEndian.PutUint64(out[at:], binary.LittleEndian.Uint64(out[at-back:]))
			binary.LittleEndian.PutUint64(out[at+8:], binary.LittleEndian.Uint64(out[at-back+8:]))
		case back >= n:
			copy(out[at:end], out[at-back:])
		default:
			for i := at; i < end; { // what was copied repeats
				i += copy(out[i:end], out[at-back:i])
			}
		}
		at = end
	}
	return at, nil
}

// A huffman is a table of codes. An entry is of a symbol, or of a second table for
// codes that are longer than the index of the first.
//
//	bits 0-3    length of the code or, in the second table, of its rest
//	bits 4-7    number of extra bits, or of the index of the second table
//	bits 8-10   kind
//	bits 16-31  the literal, the base of a length or distance, or where the second
//	            table begins
type huffman [1<<firstBits + maxSecond]uint32

const (
	firstBits = 10
	maxCode   = 15
	maxSecond = maxLit << (maxCode - firstBits) / 2 // tables have two codes or more

	extraShift = 4
	kindShift  = 8
	valueShift = 16

	kindMask   = 7 << kindShift
	invalid    = 0 << kindShift
	literal    = 1 << kindShift
	match      = 2 << kindShift
	endOfBlock = 3 << kindShift
	second     = 4 << kindShift
)

// next takes the next code.
func (h *huffman) next(f *inflater) uint32 {
	e := h[f.bits&(1<<firstBits-1)]
	if e&kindMask == second {
		f.bits >>= firstBits
		f.n -= firstBits
		e = h[uint64(e>>valueShift)+f.bits&(1<<(e>>extraShift&0xf)-1)]
	}
	f.bits >>= e & 0xf
	f.n -= int(e & 0xf)
	return e
}

// build makes the table of the codes with these lengths. symbol returns the entry of
// a symbol, without its length. A set of codes that is not complete is refused, as
// zlib refuses it, unless it has one code of one bit, or none.
func (h *huffman) build(lens []uint8, symbol func(int) uint32) error {
	var count, offset [maxCode + 2]int
	for _, n := range lens {
		count[n]++
	}
	longest, left := 0, 1
	for n := 1; n <= maxCode; n++ {
		if left = left<<1 - count[n]; left < 0 {
			return errDeflate
		}
		if count[n] > 0 {
			longest = n
		}
		offset[n+1] = offset[n] + count[n]
	}
	if left > 0 && longest > 1 {
		return errDeflate
	}
	var sorted [maxLit]uint16 // by length, then by symbol
	for s, n := range lens {
		if n > 0 {
			sorted[offset[n]] = uint16(s)
			offset[n]++
		}
	}
	if left > 0 {
		clear(h[:1<<firstBits])
	}
	code, i, free, root := 0, 0, 1<<firstBits, -1
	for n := 1; n <= longest; n++ {
		for ; count[n] > 0; count[n]-- {
			e := symbol(int(sorted[i])) | uint32(n)
			i++
			reversed := int(bits.Reverse16(uint16(code)) >> (16 - n))
			code++
			if n <= firstBits {
				for at := reversed; at < 1<<firstBits; at += 1 << n {
					h[at] = e
				}
				continue
			}
			if low := reversed & (1<<firstBits - 1); low != root {
				root = low
				// The table is as large as the codes need that begin like this.
				k := n - firstBits
				for room := 1 << k; k < maxCode-firstBits; k++ {
					if room -= count[k+firstBits]; room <= 0 {
						break
					}
					room <<= 1
				}
				h[root] = uint32(free)<<valueShift | second | uint32(k)<<extraShift
				free += 1 << k
			}
			table := h[root]
			start, size := int(table>>valueShift), 1<<(table>>extraShift&0xf)
			for at := reversed >> firstBits; at < size; at += 1 << (n - firstBits) {
				h[start+at] = e - firstBits
			}
		}
		code <<= 1
	}
	return nil
}
