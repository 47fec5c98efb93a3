package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/lunserve/lunserve/hint"
)

// A simgSum is a checksum in an Android sparse image: the CRC-32 (IEEE 802.3) of
// the disk up to an offset. What is unspecified counts as zeros when libsparse
// reads an image. When it writes one it leaves that out, and counts one block of
// each fill (write_sparse_fill_chunk in AOSP's output_file.cpp). Either is right.
type simgSum struct {
	end int64
	sum uint32
}

// unpack writes the disk to w in order, except for its zeros, and compares its
// checksums. The image is at path.
func (s *simg) unpack(ctx context.Context, path string, w io.WriterAt, progress func(done, total int64)) error {
	buf := make([]byte, 1<<20)
	sums, crc, off := s.sums, uint32(0), int64(0)
	written := uint32(0) // the checksum as libsparse writes it
	for _, c := range s.chunks {
		if c.kind == simgFill && c.word == 0 {
			written = crcOfZerosAfter(written, s.block)
		} else if c.kind == simgFill {
			word := binary.LittleEndian.AppendUint32(nil, c.word)
			written = crc32.Update(written, crc32.IEEETable, bytes.Repeat(word, int(s.block/4)))
		}
		for off < c.end {
			stop := c.end // of what is read next
			if len(sums) > 0 {
				stop = min(stop, sums[0].end)
			}
			n := stop - off
			if c.kind == simgRaw || c.kind == simgFill && c.word != 0 {
				n = min(n, int64(len(buf)))
				if err := s.ReadVec([][]byte{buf[:n]}, off, 0); err != nil {
					return err
				}
				if err := writeSparse(w, buf[:n], off); err != nil {
					return err
				}
				crc = crc32.Update(crc, crc32.IEEETable, buf[:n])
				if c.kind == simgRaw {
					written = crc32.Update(written, crc32.IEEETable, buf[:n])
				}
			} else {
				crc = crcOfZerosAfter(crc, n)
			}
			off += n
			for len(sums) > 0 && sums[0].end == off {
				if sums[0].sum != crc && sums[0].sum != written {
					err := fmt.Errorf("%s: the checksum of the first %d bytes is %08x, the image says %08x", Name(path), off, crc, sums[0].sum)
					if IsURL(path) {
						return hint.With(err, download(path, s))
					}
					return hint.With(err, hint.Command{Words: []string{"simg2img", hint.Path(path), hint.Path(hint.Free(rawName(path)))}, Purpose: "to unpack it regardless"})
				}
				sums = sums[1:]
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			progress(off, s.size)
		}
	}
	return nil
}

// addSum adds the checksum in p of what is before end.
func (s *simg) addSum(end int64, p []byte) {
	s.sums = append(s.sums, simgSum{end, binary.LittleEndian.Uint32(p)})
}

// crcOfZerosAfter returns the CRC-32 of data and n zeros, from that of the data. A
// zero multiplies the state by x^8.
func crcOfZerosAfter(crc uint32, n int64) uint32 {
	state := ^crc
	for p := uint32(1 << (31 - 8)); n > 0; n >>= 1 {
		if n&1 != 0 {
			state = mulCRC(state, p)
		}
		p = mulCRC(p, p)
	}
	return ^state
}

// mulCRC multiplies polynomials modulo that of CRC-32. Bit 31 is the coefficient
// of x^0.
func mulCRC(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.IEEE
		}
	}
	return product
}
