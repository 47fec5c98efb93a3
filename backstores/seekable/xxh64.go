package seekable

import (
	"encoding/binary"
	"math/bits"
)

// The primes of XXH64.
const (
	prime1 uint64 = 0x9E3779B185EBCA87
	prime2 uint64 = 0xC2B2AE3D27D4EB4F
	prime3 uint64 = 0x165667B19E3779F9
	prime4 uint64 = 0x85EBCA77C2B2AE63
	prime5 uint64 = 0x27D4EB2F165667C5
)

// xxh64 returns the XXH64 digest of p with seed 0. zstd's checksums are its low
// half.
func xxh64(p []byte) uint64 {
	n := uint64(len(p))
	h := prime5
	if n >= 32 {
		p1, p2 := prime1, prime2 // a sum of constants may not overflow
		a, b, c, d := p1+p2, p2, uint64(0), -p1
		for ; len(p) >= 32; p = p[32:] {
			a = round(a, binary.LittleEndian.Uint64(p))
			b = round(b, binary.LittleEndian.Uint64(p[8:]))
			c = round(c, binary.LittleEndian.Uint64(p[16:]))
			d = round(d, binary.LittleEndian.Uint64(p[24:]))
		}
		h = bits.RotateLeft64(a, 1) + bits.RotateLeft64(b, 7) + bits.RotateLeft64(c, 12) + bits.RotateLeft64(d, 18)
		for _, v := range [...]uint64{a, b, c, d} {
			h = (h^round(0, v))*prime1 + prime4
		}
	}
	h += n
	for ; len(p) >= 8; p = p[8:] {
		h = bits.RotateLeft64(h^round(0, binary.LittleEndian.Uint64(p)), 27)*prime1 + prime4
	}
	if len(p) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(p))*prime1, 23)*prime2 + prime3
		p = p[4:]
	}
	for _, b := range p {
		h = bits.RotateLeft64(h^uint64(b)*prime5, 11) * prime1
	}
	h = (h ^ h>>33) * prime2
	h = (h ^ h>>29) * prime3
	return h ^ h>>32
}

func round(acc, v uint64) uint64 { return bits.RotateLeft64(acc+v*prime2, 31) * prime1 }
