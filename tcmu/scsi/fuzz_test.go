package scsi

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// A step is one command of a fuzzed conversation: how long its CDB is, the
// CDB, the size of the buffers, what they are filled with and into what pieces
// they are cut.
const stepLength = 1 + 16 + 2 + 1 + 1

func step(cdb []byte, room int, fill, piece byte) []byte {
	b := make([]byte, stepLength)
	b[0] = byte(len(cdb))
	copy(b[1:], cdb)
	binary.BigEndian.PutUint16(b[17:], uint16(room))
	b[19], b[20] = fill, piece
	return b
}

// expect is what is known of a command that moves blocks, worked out anew.
func expect(cdb []byte) (lba, blocks uint64, read, write bool) {
	switch cdb[0] {
	case 0x08, 0x0a:
		lba, blocks = uint64(cdb[1]&0x1f)<<16|uint64(cdb[2])<<8|uint64(cdb[3]), uint64(cdb[4])
		if blocks == 0 {
			blocks = 256
		}
	case 0x28, 0x2a:
		lba, blocks = uint64(binary.BigEndian.Uint32(cdb[2:6])), uint64(binary.BigEndian.Uint16(cdb[7:9]))
	case 0xa8, 0xaa:
		lba, blocks = uint64(binary.BigEndian.Uint32(cdb[2:6])), uint64(binary.BigEndian.Uint32(cdb[6:10]))
	case 0x88, 0x8a:
		lba, blocks = binary.BigEndian.Uint64(cdb[2:10]), uint64(binary.BigEndian.Uint32(cdb[10:14]))
	}
	low := cdb[0] & 0x1f
	return lba, blocks, low == 0x08, low == 0x0a
}

// FuzzDisk has conversations of any commands with disks of all kinds, and holds
// each answer to what every answer has to be, and the image to a model.
func FuzzDisk(f *testing.F) {
	const size, blockSize = 64 << 10, 512
	for kind, ability := range abilities {
		for _, row := range newUnit(ability, blockSize).rows {
			plain := make([]byte, len(row.usage))
			plain[0] = row.op
			if row.sa != none {
				plain[1] = byte(row.sa)
			}
			some := slices.Clone(plain)
			for i := 2; i < len(some); i++ {
				some[i] |= row.usage[i] & 0x11
			}
			low := slices.Clone(plain)
			for _, i := range []int{len(low) - 2, len(low) - 3, 5} {
				if i > 1 && i < len(low) {
					low[i] |= row.usage[i] & 0x03
				}
			}
			f.Add(byte(kind), append(step(plain, 4096, 0xaa, 0), step(row.usage, 512, 1, 9)...))
			f.Add(byte(kind), append(step(low, 3000, 2, 100), step(some, 36, 3, 7)...))
			f.Add(byte(kind), append(step(low, 0, 4, 0), step(plain, 1, 0, 0)...))
		}
	}
	write, read := raw("2a 00 00000003 00 0002 00"), raw("28 08 00000002 00 0004 00")
	f.Add(byte(0), append(step(write, 1024, 0x55, 100), step(read, 2048, 0, 33)...))
	f.Add(byte(0), append(step(raw("93 01 0000000000000003 00000002 00 00"), 0, 0, 0), step(read, 2048, 1, 33)...))
	f.Add(byte(0), append(step(raw("1b 00 00 00 00 00"), 0, 0, 0), step(read, 2048, 1, 33)...))

	f.Fuzz(func(t *testing.T, kind byte, script []byte) {
		u := newSizedUnit(abilities[int(kind)%len(abilities)], size, blockSize)
		u.busy = kind >= 0x80
		for ; len(script) >= stepLength; script = script[stepLength:] {
			cdb := slices.Clone(script[1:17][:min(int(script[0]), 16)])
			room := int(binary.BigEndian.Uint16(script[17:]))
			buf := make([]byte, room)
			for i := range buf {
				buf[i] = script[19] ^ byte(i>>9)
			}
			bufs := split(buf, int(script[20])*16+1, 300)
			sent, before := slices.Clone(buf), slices.Clone(u.bytes)
			stats := u.Stats()

			status, n, sense, ok := u.Execute(cdb, bufs, false)
			if !ok {
				if status != 0 || n != 0 || sense != nil || !bytes.Equal(before, u.bytes) || u.Stats() != stats {
					t.Fatalf("%x: not done yet, but status %02x, %d bytes, sense data % x", cdb, status, n, sense)
				}
				if status, n, sense, ok = u.Execute(cdb, bufs, true); !ok {
					t.Fatalf("%x: not done, though it may wait", cdb)
				}
			}
			if why := verdict(t, status, n, room, sense); why != "" || len(cdb) == 0 {
				if !bytes.Equal(before, u.bytes) || !bytes.Equal(sent, buf) || u.Stats() != stats {
					t.Fatalf("%x: refused with %s, and something has changed", cdb, why)
				}
				continue
			}

			lba, blocks, reads, writes := expect(append(slices.Clone(cdb), make([]byte, 16)...))
			off, length := lba*blockSize, blocks*blockSize
			switch {
			case reads:
				if want := min(length, uint64(room)); lba > size/blockSize || uint64(n) != want || !bytes.Equal(buf[:n], before[min(off, size):][:want]) {
					t.Fatalf("%x: %d bytes, which are not those of the image", cdb, n)
				}
			case writes:
				if length > uint64(room) || n != 0 || !bytes.Equal(sent, buf) {
					t.Fatalf("%x: %d bytes of data-in; %d of data-out", cdb, n, room)
				}
				copy(before[off:], sent[:length])
			}
			switch op := cdb[0]; op {
			case 0x41, 0x42, 0x93: // change the image as tests of their own have it
				if u.has&writable == 0 {
					t.Fatalf("%x: done on a disk that cannot be written", cdb)
				}
			default:
				if !bytes.Equal(before, u.bytes) {
					t.Fatalf("%x: the image is not as it should be", cdb)
				}
			}
			switch row, _ := u.find(cdb); {
			case row.kind&dataOut != 0:
				if n != 0 || !bytes.Equal(sent, buf) {
					t.Fatalf("%x: %d bytes of data-in, or data-out that has changed", cdb, n)
				}
			case n > 0:
				if !bytes.Equal(sent[n:], buf[n:]) && len(bytes.Trim(buf[n:], "\x00")) > 0 {
					t.Fatalf("%x: more than %d bytes of data-in were written", cdb, n)
				}
			case len(bytes.Trim(buf, "\x00")) > 0:
				t.Fatalf("%x: no bytes are told of, and the buffers hold what they held", cdb)
			}
		}
	})
}

// FuzzParameterList sends UNMAP lists of any bytes, and holds the image to a
// model of what they ask for.
func FuzzParameterList(f *testing.F) {
	const blocks, blockSize = 128, 512
	f.Add(uint16(0), []byte{}, byte(0))
	f.Add(uint16(7), unmapList(), byte(0))
	f.Add(uint16(8), unmapList(), byte(0))
	f.Add(uint16(24), unmapList(3, 5), byte(0))
	f.Add(uint16(40), unmapList(3, 5, 5, 1), byte(3))
	f.Add(uint16(40), unmapList(3, 5, 127, 2), byte(16))
	f.Add(uint16(40), unmapList(3, 5, -1, 2), byte(1))
	f.Add(uint16(8+16*65), unmapList(make([]int, 130)...), byte(0))
	f.Add(uint16(24), unmapList(3, 5)[:23], byte(0))
	f.Fuzz(func(t *testing.T, length uint16, list []byte, piece byte) {
		u := newSizedUnit("sparse", blocks*blockSize, blockSize)
		want, sent := slices.Clone(u.bytes), slices.Clone(list)

		fail := ""
		ranges := 0
		if n := int(length); n > 0 {
			switch {
			case n < 8 || n > len(list):
				fail = "5/1a/00"
			default:
				d := list[8:n]
				d = d[:min(len(d), int(binary.BigEndian.Uint16(list[2:])))]
				ranges = len(d) / 16
				for ; len(d) >= 16 && ranges <= 64; d = d[16:] {
					lba, n := binary.BigEndian.Uint64(d), uint64(binary.BigEndian.Uint32(d[8:]))
					if lba > blocks || n > blocks-lba {
						fail = "5/21/00"
						break
					}
					clear(want[lba*blockSize:][:n*blockSize])
				}
				if ranges > 64 {
					fail = "5/26/00"
				}
			}
		}
		if fail != "" {
			want = slices.Clone(u.bytes)
		}
		n, why := must(t, u.Disk, unmapCDB(int(length)), split(list, int(piece)+1, 5)...)
		if n != 0 || len(why) < len(fail) || why[:len(fail)] != fail || fail == "" && why != "" {
			t.Fatalf("%d bytes of data-in, sense data %q, want %q", n, why, fail)
		}
		if !bytes.Equal(u.bytes, want) {
			t.Fatalf("sense data %q; the image is not as it should be", why)
		}
		if !bytes.Equal(list, sent) {
			t.Fatal("the data-out has changed")
		}
	})
}
