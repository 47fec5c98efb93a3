package image_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A zstdParts is a zstd file in parts that can be changed.
type zstdParts struct {
	frames [][]byte    // of any kind
	table  bool        // a seek table follows
	sums   bool        // with checksums
	list   [][3]uint32 // its entries: encoded size, decoded size, checksum

	crafted bool // a table that lies about a frame by the size of its neighbour
}

// split returns the parts of a file.
func split(t testing.TB, file []byte) (p zstdParts) {
	t.Helper()
	for rest := file; len(rest) > 0; {
		n := frameLength(rest)
		if n > len(rest) {
			t.Fatalf("a frame of %d bytes in %d", n, len(rest))
		}
		p.frames = append(p.frames, rest[:n])
		rest = rest[n:]
	}
	last := p.frames[len(p.frames)-1]
	if len(last) < 17 || binary.LittleEndian.Uint32(last[len(last)-4:]) != 0x8F92EAB1 {
		return p
	}
	p.table, p.sums = true, last[len(last)-5]&0x80 != 0
	p.frames = p.frames[:len(p.frames)-1]
	entry := 8
	if p.sums {
		entry = 12
	}
	for b := last[8 : len(last)-9]; len(b) > 0; b = b[entry:] {
		e := [3]uint32{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
		if p.sums {
			e[2] = binary.LittleEndian.Uint32(b[8:])
		}
		p.list = append(p.list, e)
	}
	return p
}

// frameLength returns the length of the frame at the start of b (RFC 8878 §3.1).
func frameLength(b []byte) int {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		panic(err)
	}
	if h.Skippable {
		return h.HeaderSize + int(h.SkippableSize)
	}
	n := h.HeaderSize
	for last := false; !last; {
		v := int(b[n]) | int(b[n+1])<<8 | int(b[n+2])<<16
		last = v&1 != 0
		n += 3 + v>>3
		if v>>1&3 == 1 { // RLE
			n += 1 - v>>3
		}
	}
	if h.HasCheckSum {
		n += 4
	}
	return n
}

// join returns the file.
func (p *zstdParts) join() []byte {
	file := bytes.Join(p.frames, nil)
	if !p.table {
		return file
	}
	var list [][]uint32
	for _, e := range p.list {
		if p.sums {
			list = append(list, e[:])
		} else {
			list = append(list, e[:2])
		}
	}
	return append(file, seekTable(p.sums, list...)...)
}

// addTable adds a table of all frames.
func (p *zstdParts) addTable(t testing.TB) {
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	p.table = true
	for _, f := range p.frames {
		b, err := dec.DecodeAll(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.list = append(p.list, [3]uint32{uint32(len(f)), uint32(len(b))})
	}
}

// odd are frames that may be inserted.
var odd = [][]byte{
	[]byte("\x50\x2a\x4d\x18\x00\x00\x00\x00"),
	[]byte("\x5e\x2a\x4d\x18\x03\x00\x00\x00abc"),
	[]byte("\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51"),                 // empty
	[]byte("\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x50"),                 // with a wrong checksum
	[]byte("\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"),                                 // without one
	[]byte("\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00abc"),                              // three bytes
	[]byte("\x28\xb5\x2f\xfd\x00\x58\x43\x00\x00a"),                                // 8 bytes, of unknown size
	[]byte("\x28\xb5\x2f\xfd\xa0\x00\x10\x00\x00\x03\x80\x00\x00"),                 // 4096 zeros
	[]byte("\x28\xb5\x2f\xfd\xa4\x00\x10\x00\x00\x03\x80\x00\x00\x01\x02\x03\x04"), // with a wrong checksum
	[]byte("\x28\xb5"),
}

// mutate changes p or, if that is done to its bytes, returns what does it.
func (p *zstdParts) mutate(r *rand.Rand) (what string, then func([]byte) []byte) {
	if len(p.frames) == 0 {
		return "nothing", nil
	}
	i, j := r.IntN(len(p.frames)), r.IntN(len(p.frames))
	listed := p.table && len(p.list) > 0
	k, l := 0, 0
	if listed {
		k, l = r.IntN(len(p.list)), r.IntN(len(p.list))
	}
	switch n := r.IntN(19); {
	case n == 0:
		return "a bit anywhere", func(b []byte) []byte { return flip(r, b, 0, len(b)) }
	case n == 1:
		return "a bit at the end", func(b []byte) []byte { return flip(r, b, max(0, len(b)-60), len(b)) }
	case n == 2:
		f := bytes.Clone(p.frames[i])
		p.frames[i] = flip(r, f, 0, min(len(f), 20))
		return fmt.Sprintf("a bit of the header of frame %d", i), nil
	case n == 3:
		f := bytes.Clone(p.frames[i])
		p.frames[i] = flip(r, f, max(0, len(f)-8), len(f))
		return fmt.Sprintf("a bit at the end of frame %d", i), nil
	case n == 4:
		return "cut short", func(b []byte) []byte { return b[:r.IntN(len(b)+1)] }
	case n == 5:
		return "bytes after the end", func(b []byte) []byte { return append(b, make([]byte, 1+r.IntN(9))...) }
	case n == 6:
		p.frames = slices.Delete(slices.Clone(p.frames), i, i+1)
		return fmt.Sprintf("frame %d removed", i), nil
	case n == 7:
		p.frames[i], p.frames[j] = p.frames[j], p.frames[i]
		return fmt.Sprintf("frames %d and %d exchanged", i, j), nil
	case n == 8:
		p.frames = slices.Insert(slices.Clone(p.frames), i, p.frames[j])
		return fmt.Sprintf("frame %d again before %d", j, i), nil
	case n == 9 || n == 10:
		f := odd[r.IntN(len(odd))]
		p.frames = slices.Insert(slices.Clone(p.frames), i, f)
		if what = fmt.Sprintf("%x before frame %d", f, i); n == 10 && listed && i <= len(p.list) {
			e := [3]uint32{uint32(len(f)), []uint32{0, 0, 3, 8, 4096}[r.IntN(5)]}
			p.list = slices.Insert(slices.Clone(p.list), i, e)
			what += fmt.Sprintf(", listed as %v", e)
			p.crafted = true
		}
		return what, nil
	case !listed:
		return "nothing", nil
	case n == 11:
		p.list[k], p.list[l] = p.list[l], p.list[k]
		return fmt.Sprintf("entries %d and %d exchanged", k, l), nil
	case n == 12:
		p.list = slices.Delete(slices.Clone(p.list), k, k+1)
		return fmt.Sprintf("entry %d removed", k), nil
	case n == 13:
		p.list = slices.Insert(slices.Clone(p.list), k, p.list[l])
		return fmt.Sprintf("entry %d again before %d", l, k), nil
	case n == 14:
		p.list = slices.Insert(slices.Clone(p.list), k, [3]uint32{})
		return fmt.Sprintf("an entry of nothing before %d", k), nil
	case n == 15:
		p.list[k][1] = []uint32{0, p.list[k][1] + 1, p.list[k][1] - 1, p.list[l][1], r.Uint32()}[r.IntN(5)]
		return fmt.Sprintf("entry %d of %d bytes", k, p.list[k][1]), nil
	case n == 16 && k+1 < len(p.list):
		p.list = slices.Clone(p.list)
		p.list[k][0] += p.list[k+1][0]
		if r.IntN(2) == 0 {
			p.list[k][1] += p.list[k+1][1]
		}
		p.list = slices.Delete(p.list, k+1, k+2)
		p.crafted = true
		return fmt.Sprintf("entries %d and %d joined", k, k+1), nil
	case n == 17 && len(p.list) == len(p.frames):
		p.frames[k] = append(bytes.Clone(p.frames[l]), odd[r.IntN(len(odd))]...)
		p.list[k][0] = uint32(len(p.frames[k]))
		p.crafted = true
		return fmt.Sprintf("frame %d and more in place of %d", l, k), nil
	case n == 18 && k+1 < len(p.list):
		d := uint32(r.IntN(20))
		p.list[k][0] += d
		p.list[k+1][0] -= d
		return fmt.Sprintf("%d bytes from entry %d to %d", d, k+1, k), nil
	}
	return "nothing", nil
}

// flip flips a bit of b[from:to].
func flip(r *rand.Rand, b []byte, from, to int) []byte {
	if from < to {
		b[from+r.IntN(to-from)] ^= 1 << r.IntN(8)
	}
	return b
}
