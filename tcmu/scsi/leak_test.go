package scsi

import (
	"bytes"
	"testing"
)

// TestNothingOfOtherCommandsLeaks: buffers come with what was in them before.
// The fabric gets the first n bytes, or all of them if n is zero: there is no
// way to tell the ring of no bytes.
func TestNothingOfOtherCommandsLeaks(t *testing.T) {
	for _, x := range []struct {
		name string
		cdb  string // with %x for an allocation length
		most int    // more than there is to tell
	}{
		{"TEST UNIT READY", "00 00 00 00 00 00", 0},
		{"REQUEST SENSE", "03 00 00 00 %02x 00", 30},
		{"REQUEST SENSE, descriptor", "03 01 00 00 %02x 00", 30},
		{"INQUIRY", "12 00 00 %04x 00", 260},
		{"INQUIRY 00", "12 01 00 %04x 00", 20},
		{"INQUIRY 80", "12 01 80 %04x 00", 40},
		{"INQUIRY 83", "12 01 83 %04x 00", 120},
		{"INQUIRY B0", "12 01 b0 %04x 00", 80},
		{"INQUIRY B1", "12 01 b1 %04x 00", 80},
		{"INQUIRY B2", "12 01 b2 %04x 00", 20},
		{"MODE SENSE(6)", "1a 00 3f 00 %02x 00", 60},
		{"MODE SENSE(10)", "5a 10 3f 00 000000 %04x 00", 80},
		{"READ CAPACITY(10)", "25 00 00000000 00 00 00 00", 0},
		{"READ CAPACITY(16)", "9e 10 0000000000000000 %08x 00 00", 40},
		{"REPORT SUPPORTED OPERATION CODES", "a3 0c 00 00 0000 %08x 00 00", 220},
		{"REPORT SUPPORTED OPERATION CODES, timeouts", "a3 0c 80 00 0000 %08x 00 00", 520},
		{"REPORT SUPPORTED OPERATION CODES, one", "a3 0c 01 28 0000 %08x 00 00", 30},
		{"SYNCHRONIZE CACHE(10)", "35 00 00000000 00 0000 00", 0},
		{"SYNCHRONIZE CACHE(16)", "91 00 0000000000000000 00000000 00 00", 0},
		{"START STOP UNIT", "1b 00 00 00 01 00", 0},
		{"READ(6)", "08 00 0000 01 00", 0},
		{"READ(10)", "28 00 00000000 00 0001 00", 0},
		{"READ(10) no blocks", "28 00 00000000 00 0000 00", 0},
		{"READ(12) no blocks", "a8 00 00000000 00000000 00 00", 0},
		{"READ(16) no blocks", "88 00 0000000000000000 00000000 00 00", 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			u := newUnit("sparse", 512)
			for allocation := range x.most + 1 {
				for _, room := range []int{1, 3, 36, 300, 1000} {
					for _, shape := range [][]int{{1 << 30}, {1, 2}, {16}} {
						buf := filled(room)
						bufs := split(buf, shape...)
						n, why := must(t, u.Disk, at(x.cdb, allocation), bufs...)
						switch {
						case why != "":
							t.Fatalf("sense data %q", why)
						case x.most > 0 && n > allocation:
							t.Fatalf("%d bytes for an allocation length of %d", n, allocation)
						case n == 0 && len(bytes.Trim(buf, "\x00")) > 0:
							t.Fatalf("allocation length %d: no bytes are told of, and buffers of %d bytes in pieces of %d hold % x",
								allocation, room, shape, buf[:min(room, 16)])
						case n > 0 && !bytes.Equal(buf[n:], filled(room-n)) && len(bytes.Trim(buf[n:], "\x00")) > 0:
							t.Fatalf("allocation length %d: more than %d bytes were written", allocation, n)
						}
					}
				}
			}
		})
	}
}

// TestAnswersAreTheSameInBuffersOfAnySize holds what is clipped to the whole.
func TestAnswersAreTheSameInBuffersOfAnySize(t *testing.T) {
	u := newUnit("sparse", 512)
	for _, cdb := range []string{"12 00 00 00ff 00", "12 01 83 00ff 00", "1a 00 3f 00 ff 00", "a3 0c 80 00 0000 00001000 00 00"} {
		whole := ask(t, u.Disk, cdb)
		for room := 1; room <= len(whole)+1; room++ {
			buf := filled(room)
			n, why := must(t, u.Disk, raw(cdb), split(buf, 7, 1)...)
			if want := whole[:min(room, len(whole))]; why != "" || !bytes.Equal(buf[:n], want) {
				t.Fatalf("%s into %d bytes: sense data %q, % x, want % x", cdb, room, why, buf[:n], want)
			}
		}
	}
}
