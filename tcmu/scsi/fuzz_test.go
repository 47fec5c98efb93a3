package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A step is one command of FuzzDisk: the length of the CDB, the CDB, the size of
// the buffers, their contents and the size of their pieces.
const stepLength = 1 + 16 + 2 + 1 + 1

func step(cdb []byte, room int, fill, piece byte) []byte {
	b := make([]byte, stepLength)
	b[0] = byte(len(cdb))
	copy(b[1:], cdb)
	binary.BigEndian.PutUint16(b[17:], uint16(room))
	b[19], b[20] = fill, piece
	return b
}

// An effect is the effect of a command on blocks, computed without the disk.
type effect struct {
	lba, blocks uint64
	verb        string // "read", "write", "or", "swap", "change" or "" of one that leaves the image alone
}

func expect(cdb []byte) (d effect) {
	op := cdb[0]
	switch {
	case op>>5 == 0:
		d.lba, d.blocks = uint64(cdb[1]&0x1f)<<16|uint64(cdb[2])<<8|uint64(cdb[3]), uint64(cdb[4])
		if d.blocks == 0 {
			d.blocks = 256
		}
	case op>>5 == 1:
		d.lba, d.blocks = uint64(binary.BigEndian.Uint32(cdb[2:6])), uint64(binary.BigEndian.Uint16(cdb[7:9]))
	case op>>5 == 5:
		d.lba, d.blocks = uint64(binary.BigEndian.Uint32(cdb[2:6])), uint64(binary.BigEndian.Uint32(cdb[6:10]))
	case op>>5 == 4:
		d.lba, d.blocks = binary.BigEndian.Uint64(cdb[2:10]), uint64(binary.BigEndian.Uint32(cdb[10:14]))
	}
	switch op {
	case 0xbe: // READ CD
		d.verb, d.blocks = "read", d.blocks>>8
		if cdb[9] == 0 {
			d.verb, d.blocks = "", 0
		}
	case 0x08, 0x28, 0xa8, 0x88:
		d.verb = "read"
	case 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e:
		d.verb = "write"
	case 0x8b:
		d.verb = "or"
	case 0x89:
		d.verb, d.blocks = "swap", uint64(cdb[13])
	case 0x41, 0x42, 0x93, 0x48: // other tests check what they change
		d.verb = "change"
	}
	return d
}

// FuzzDisk sends sequences of arbitrary commands to all variants of disks. It
// compares each result with the rules for all commands, and the image with a
// model.
func FuzzDisk(f *testing.F) {
	const size = 64 << 10
	blockSizeOf := func(variant string) int {
		if variant == "cdrom" {
			return discBlock
		}
		return 512
	}
	for kind, variant := range allVariants {
		for _, row := range newUnit(variant, blockSizeOf(variant)).rows {
			plain := row.emptyCDB()
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
	write, read := unhex("2a 00 00000003 00 0002 00"), unhex("28 08 00000002 00 0004 00")
	f.Add(byte(0), append(step(write, 1024, 0x55, 100), step(read, 2048, 0, 33)...))
	f.Add(byte(0), append(step(unhex("93 01 0000000000000003 00000002 00 00"), 0, 0, 0), step(read, 2048, 1, 33)...))
	f.Add(byte(0), append(step(unhex("8e 02 0000000000000003 00000002 00 00"), 1024, 0x55, 100), step(read, 2048, 0, 33)...))
	f.Add(byte(0), append(step(unhex("8b 08 0000000000000003 00000002 00 00"), 1024, 0x55, 100), step(read, 2048, 0, 33)...))
	// A COMPARE AND WRITE of equal blocks.
	caw := step(unhex("89 00 0000000000000003 000000 01 00 00"), 1024, 0x55, 100)
	f.Add(byte(0), slices.Concat(step(unhex("2a 00 00000003 00 0001 00"), 512, 0x55, 100), caw, caw, step(read, 2048, 0, 33)))
	f.Add(byte(3), slices.Concat(step(unhex("1b 00 00 00 02 00"), 0, 0, 0), step(unhex("1b 00 00 00 03 00"), 0, 0, 0), step(read, 2048, 1, 33), step(read, 2048, 1, 33)))
	f.Add(byte(4), append(step(unhex("be 08 00000003 000002 10 00 00"), 4096, 0, 33), step(unhex("be 00 00000003 000002 00 00 00"), 4096, 0, 33)...))
	f.Add(byte(4), append(step(unhex("be 0c 00000003 000002 10 00 00"), 4096, 0, 33), step(unhex("ad 00 00000000 00 ff 0100 00 00"), 512, 0, 33)...))
	f.Add(byte(0), append(step(unhex("1b 00 00 00 00 00"), 0, 0, 0), step(read, 2048, 1, 33)...))

	f.Fuzz(func(t *testing.T, kind byte, script []byte) {
		variant := allVariants[int(kind)%len(allVariants)]
		u := newSizedUnit(variant, size, blockSizeOf(variant))
		blockSize := uint64(u.BlockSize)
		u.busy = kind >= 0x80
		for steps := 0; len(script) >= stepLength && steps < 100; script, steps = script[stepLength:], steps+1 {
			cdb := slices.Clone(script[1:17][:min(int(script[0]), 16)])
			room := int(binary.BigEndian.Uint16(script[17:]))
			buf := make([]byte, room)
			for i := range buf {
				buf[i] = script[19] ^ byte(i>>9)
			}
			bufs := split(buf, int(script[20])*16+1, 300)
			sent, before := slices.Clone(buf), slices.Clone(u.bytes)
			stats := u.Stats()

			r, err := u.Execute(cdb, bufs, false)
			if err != nil {
				if r.Status != 0 || r.DataIn != 0 || r.Sense != nil || !bytes.Equal(before, u.bytes) || u.Stats() != stats {
					t.Fatalf("%x: would block, but has done something: %+v", cdb, r)
				}
				if r, err = u.Execute(cdb, bufs, true); err != nil {
					t.Fatalf("%x: %v, though it may wait", cdb, err)
				}
			}
			n := int(r.DataIn)
			if why := checkResult(t, r, room); why != "" || len(cdb) == 0 {
				if !bytes.Equal(before, u.bytes) || !bytes.Equal(sent, buf) || u.Stats() != stats {
					t.Fatalf("%x: failed with %s, but something has changed", cdb, why)
				}
				continue
			}

			d := expect(append(slices.Clone(cdb), make([]byte, 16)...))
			off, length := d.lba*blockSize, d.blocks*blockSize
			out := length // of data-out
			switch d.verb {
			case "read":
				if want := min(length, uint64(room)); d.lba > size/blockSize || uint64(n) != want || !bytes.Equal(buf[:n], before[min(off, size):][:want]) {
					t.Fatalf("%x: %d bytes that differ from the image", cdb, n)
				}
			case "swap":
				out *= 2
				fallthrough
			case "write", "or":
				if out > uint64(room) || n != 0 || out > 0 && !bytes.Equal(sent, buf) {
					t.Fatalf("%x: %d bytes of data-in; %d of data-out", cdb, n, room)
				}
				if d.verb == "swap" && !bytes.Equal(before[off:off+length], sent[:length]) {
					t.Fatalf("%x: the blocks were not equal to those to compare", cdb)
				}
				for i, b := range sent[out-length : out] {
					if d.verb == "or" {
						b |= before[off+uint64(i)]
					}
					before[off+uint64(i)] = b
				}
			}
			u.sanitizer.background.Wait() // SANITIZE with IMMED
			if d.verb == "change" {
				if u.has&writable == 0 && serviceAction(cdb) != 0x1f {
					t.Fatalf("%x: succeeded on a read-only disk", cdb)
				}
			} else if !bytes.Equal(before, u.bytes) {
				t.Fatalf("%x: wrong image contents", cdb)
			}
			switch row, _ := u.find(cdb); {
			case row.attrs&dataOut != 0:
				if n != 0 || !bytes.Equal(sent, buf) && len(bytes.Trim(buf, "\x00")) > 0 {
					t.Fatalf("%x: %d bytes of data-in, or the data-out has changed", cdb, n)
				}
			case n > 0:
				if !bytes.Equal(sent[n:], buf[n:]) && len(bytes.Trim(buf[n:], "\x00")) > 0 {
					t.Fatalf("%x: more than %d bytes of data-in were written", cdb, n)
				}
			case len(bytes.Trim(buf, "\x00")) > 0:
				t.Fatalf("%x: no data-in, but the buffers hold old data", cdb)
			}
		}
	})
}

// imageAfterUnmap returns the image after an UNMAP, or the start of the sense
// data.
func imageAfterUnmap(image []byte, blockSize, length int, list []byte) ([]byte, string) {
	blocks := uint64(len(image) / blockSize)
	switch {
	case length == 0:
		return image, ""
	case length < 8 || length > len(list):
		return image, "5/1a/00"
	}
	d := list[8:length]
	d = d[:min(len(d), int(binary.BigEndian.Uint16(list[2:])))]
	if len(d)/16 > 64 {
		return image, "5/26/00"
	}
	want := slices.Clone(image)
	for ; len(d) >= 16; d = d[16:] {
		lba, n := binary.BigEndian.Uint64(d), uint64(binary.BigEndian.Uint32(d[8:]))
		if lba > blocks || n > blocks-lba {
			return image, "5/21/00"
		}
		clear(want[lba*uint64(blockSize):][:n*uint64(blockSize)])
	}
	return want, ""
}

// modesAfter returns the modes after a MODE SELECT in the format of modes, or
// the start of the sense data.
func modesAfter(long bool, length int, list []byte) (want, fail string) {
	const before = "WCE"
	header, descriptors := 4, []string{"", "00000080 00000200", "00000000 00000200"}
	if long {
		header = 8
	}
	switch {
	case length == 0:
		return before, ""
	case length > len(list) || length < header:
		return before, "5/1a/00"
	}
	list = list[:length]
	n := int(list[3])
	if long {
		if n = int(list[6])<<8 | int(list[7]); list[4]&1 != 0 {
			descriptors = []string{"", "0000000000000080 00000000 00000200", "0000000000000000 00000000 00000200"}
		}
	}
	if list = list[header:]; n > len(list) {
		return before, "5/1a/00"
	}
	if !slices.ContainsFunc(descriptors, func(s string) bool { return bytes.Equal(unhex(s), list[:n]) }) {
		return before, "5/26/00"
	}
	wce, dsense, swp := true, false, false
	for list = list[n:]; len(list) > 0; {
		var page []byte
		switch list[0] {
		case 0x08:
			page = unhex(cachingOff)
		case 0x0a:
			page = unhex(controlNone)
		default:
			if len(list) < 2 {
				return before, "5/1a/00"
			}
			return before, "5/26/00"
		}
		if len(list) < 2 {
			return before, "5/1a/00"
		}
		if list[1] != page[1] {
			return before, "5/26/00"
		}
		if len(list) < len(page) {
			return before, "5/1a/00"
		}
		got := slices.Clone(list[:len(page)])
		if list[0] == 0x08 {
			wce = got[2]&0x04 != 0
			got[2] &^= 0x04
		} else {
			dsense, swp = got[2]&0x04 != 0, got[4]&0x08 != 0
			got[2] &^= 0x04
			got[4] &^= 0x08
		}
		if !bytes.Equal(got, page) {
			return before, "5/26/00"
		}
		list = list[len(page):]
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"WP", swp}, {"WCE", wce}, {"D_SENSE", dsense}, {"SWP", swp}} {
		if f.set {
			want = strings.TrimSpace(want + " " + f.name)
		}
	}
	return want, ""
}

// FuzzParameterList sends arbitrary parameter lists with UNMAP, MODE SELECT(6)
// and MODE SELECT(10), and compares the disk with a model.
func FuzzParameterList(f *testing.F) {
	const blocks, blockSize = 128, 512
	f.Add(byte(0), uint16(0), []byte{}, byte(0))
	f.Add(byte(0), uint16(7), unmapList(), byte(0))
	f.Add(byte(0), uint16(0), unmapList(), byte(0))
	f.Add(byte(1), uint16(0), unhex(header6), byte(0))
	f.Add(byte(0), uint16(8), unmapList(), byte(0))
	f.Add(byte(0), uint16(24), unmapList(3, 5), byte(0))
	f.Add(byte(0), uint16(40), unmapList(3, 5, 5, 1), byte(3))
	f.Add(byte(0), uint16(40), unmapList(3, 5, 127, 2), byte(16))
	f.Add(byte(0), uint16(40), unmapList(3, 5, -1, 2), byte(1))
	f.Add(byte(0), uint16(8+16*65), unmapList(make([]int, 130)...), byte(0))
	f.Add(byte(0), uint16(24), unmapList(3, 5)[:23], byte(0))
	for kind, headers := range [][]string{{}, {header6, "00 00 00 08 00000080 00000200"}, {
		header10, "0000 00 00 00 00 0008 00000000 00000200", "0000 00 00 01 00 0010 0000000000000080 00000000 00000200"}} {
		for _, header := range headers {
			for _, pages := range []string{"", cachingOff, controlD, controlSWPd + cachingOff, cachingOn + controlBoth, cachingOn[:14], "08"} {
				list := unhex(header + pages)
				f.Add(byte(kind), uint16(len(list)), list, byte(kind))
				f.Add(byte(kind), uint16(len(list)-1), list, byte(7))
				f.Add(byte(kind), uint16(len(list)+1), list, byte(0))
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, length uint16, list []byte, piece byte) {
		u := newSizedUnit("thin", blocks*blockSize, blockSize)
		want, sent := slices.Clone(u.bytes), slices.Clone(list)
		cdb, wantModes, fail := unmapCDB(int(length)), "WCE", ""
		switch kind % 3 {
		case 0:
			want, fail = imageAfterUnmap(want, blockSize, int(length), list)
		case 1:
			length &= 0xff
			cdb = unhex(fmt.Sprintf("15 10 0000 %02x 00", length))
			wantModes, fail = modesAfter(false, int(length), list)
		case 2:
			cdb = unhex(fmt.Sprintf("55 10 0000000000 %04x 00", length))
			wantModes, fail = modesAfter(true, int(length), list)
		}
		n, why := execute(t, u.Disk, cdb, split(list, int(piece)+1, 5)...)
		if n != 0 || !strings.HasPrefix(why, fail) || fail == "" && why != "" {
			t.Fatalf("%d bytes of data-in, sense data %q, want %q", n, why, fail)
		}
		if !bytes.Equal(u.bytes, want) {
			t.Fatalf("sense data %q; wrong image contents", why)
		}
		if length == 0 {
			clear(sent) // see request.ignoreDataOut
		}
		if !bytes.Equal(list, sent) {
			t.Fatal("wrong data-out")
		}
		if got := modes(t, u.Disk); got != wantModes {
			t.Fatalf("modes %q, want %q", got, wantModes)
		}
	})
}
