package scsi

import (
	"bytes"
	"testing"
)

// Buffers hold data of earlier commands. The initiator gets the first DataIn
// bytes, or all of them if DataIn is zero.
func TestNoDataOfOtherCommandsLeaks(t *testing.T) {
	for _, x := range []struct {
		name string
		cdb  string // with a verb for the allocation length
		most int    // more than the length of the data-in
	}{
		{"TEST UNIT READY", "00 00 00 00 00 00", 0},
		{"REQUEST SENSE", "03 00 00 00 %02x 00", 30},
		{"REQUEST SENSE, descriptor", "03 01 00 00 %02x 00", 30},
		{"INQUIRY", "12 00 00 %04x 00", 260},
		{"INQUIRY 00", "12 01 00 %04x 00", 20},
		{"INQUIRY 80", "12 01 80 %04x 00", 40},
		{"INQUIRY 83", "12 01 83 %04x 00", 120},
		{"INQUIRY 86", "12 01 86 %04x 00", 80},
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
		{"REPORT TARGET PORT GROUPS", "a3 0a 00 00 0000 %08x 00 00", 30},
		{"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "a3 0d 00 00 0000 %08x 00 00", 30},
		{"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, REPD", "a3 0d 80 00 0000 %08x 00 00", 30},
		{"GET LBA STATUS", "9e 12 0000000000000000 %08x 00 00", 60},
		{"LOG SENSE 00", "4d 00 40 00 00 0000 %04x 00", 30},
		{"LOG SENSE 00/FF", "4d 00 40 ff 00 0000 %04x 00", 30},
		{"LOG SENSE 0C", "4d 00 4c 00 00 0000 %04x 00", 40},
		{"LOG SENSE 19", "4d 00 59 00 00 0000 %04x 00", 120},
		{"READ DEFECT DATA(10)", "37 00 18 00000000 %04x 00", 20},
		{"READ DEFECT DATA(12)", "b7 18 00000000 %08x 00 00", 20},
		{"RECEIVE DIAGNOSTIC RESULTS", "1c 01 00 %04x 00", 20},
		{"PREVENT ALLOW MEDIUM REMOVAL", "1e 00 00 00 01 00", 0},
		{"PRE-FETCH(10)", "34 00 00000000 00 0001 00", 0},
		{"PRE-FETCH(16)", "90 00 0000000000000000 00000001 00 00", 0},
		{"SANITIZE, EXIT FAILURE MODE", "48 1f 0000000000 0000 00", 0},
		{"SYNCHRONIZE CACHE(10)", "35 00 00000000 00 0000 00", 0},
		{"SYNCHRONIZE CACHE(16)", "91 00 0000000000000000 00000000 00 00", 0},
		{"START STOP UNIT", "1b 00 00 00 01 00", 0},
		{"VERIFY(10)", "2f 00 00000000 00 0001 00", 0},
		{"VERIFY(16) zero blocks", "8f 02 0000000000000000 00000000 00 00", 0},
		{"WRITE SAME(16), no data-out", "93 01 0000000000000000 00000001 00 00", 0},
		{"SEND DIAGNOSTIC", "1d 04 00 0000 00", 0},
		{"SANITIZE, BLOCK ERASE", "48 02 0000000000 0000 00", 0},
		{"READ(6)", "08 00 0000 01 00", 0},
		{"READ(10)", "28 00 00000000 00 0001 00", 0},
		{"READ(10) zero blocks", "28 00 00000000 00 0000 00", 0},
		{"READ(12) zero blocks", "a8 00 00000000 00000000 00 00", 0},
		{"READ(16) zero blocks", "88 00 0000000000000000 00000000 00 00", 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			u := newUnit("removable", 512)
			for allocation := range x.most + 1 {
				for _, room := range []int{1, 3, 36, 300, 1000} {
					for _, shape := range [][]int{{1 << 30}, {1, 2}, {16}} {
						buf := stale(room)
						bufs := split(buf, shape...)
						n, why := execute(t, u.Disk, cdbWith(x.cdb, allocation), bufs...)
						switch {
						case why != "":
							t.Fatalf("sense data %q", why)
						case x.most > 0 && n > allocation:
							t.Fatalf("%d bytes for an allocation length of %d", n, allocation)
						case n == 0 && len(bytes.Trim(buf, "\x00")) > 0:
							t.Fatalf("allocation length %d: no data-in, but buffers of %d bytes in pieces of %d hold % x",
								allocation, room, shape, buf[:min(room, 16)])
						case n > 0 && !bytes.Equal(buf[n:], stale(room-n)) && len(bytes.Trim(buf[n:], "\x00")) > 0:
							t.Fatalf("allocation length %d: more than %d bytes were written", allocation, n)
						}
					}
				}
			}
		})
	}
}

func TestDataInIsTheSameInBuffersOfAnySize(t *testing.T) {
	u := newUnit("thin", 512)
	for _, cdb := range []string{"12 00 00 00ff 00", "12 01 83 00ff 00", "1a 00 3f 00 ff 00", "a3 0c 80 00 0000 00001000 00 00"} {
		whole := dataIn(t, u.Disk, cdb)
		for room := 1; room <= len(whole)+1; room++ {
			buf := stale(room)
			n, why := execute(t, u.Disk, unhex(cdb), split(buf, 7, 1)...)
			if want := whole[:min(room, len(whole))]; why != "" || !bytes.Equal(buf[:n], want) {
				t.Fatalf("%s into %d bytes: sense data %q, % x, want % x", cdb, room, why, buf[:n], want)
			}
		}
	}
}

// An initiator may expect any number of bytes. It gets those of its command.
func TestNoCommandLeaksThroughANexus(t *testing.T) {
	u, _, n := direct("removable", 1)
	for _, row := range u.rows {
		if row.attrs&dataOut != 0 {
			continue
		}
		for _, length := range []byte{0, 1, 2, 0xff} {
			for _, i := range []int{4, len(row.usage) - 2, len(row.usage) - 3} {
				cdb := row.emptyCDB()
				if cdb[i] |= length & row.usage[i]; row.op == opStartStop {
					cdb[i] &= 0x01
				}
				for expected, step := int64(0), int64(1); expected < 1100; expected += step {
					_, room := n[0].Transfer(0, cdb, expected)
					var got [2][]byte
					for j, fill := range []byte{0xaa, 0x55} {
						got[j] = bytes.Repeat([]byte{fill}, int(room))
						r, err := n[0].Execute(0, cdb, split(got[j], 100, 500), true)
						if err != nil {
							t.Fatal(err)
						}
						got[j] = got[j][:min(int(room), int(r.DataIn))]
					}
					if expected > int64(len(got[0]))+64 {
						step = 37 // all of it came, and the rest of the buffers is empty
					}
					for j := range got[0] {
						if got[0][j] == 0xaa && got[1][j] == 0x55 {
							t.Fatalf("%s, %x, %d bytes expected: byte %d of %d is not of the command", row.name, cdb, expected, j, len(got[0]))
						}
					}
				}
			}
		}
	}
}

// It runs all commands of the table, so that new ones are tested as well.
func TestNoCommandOfTheTableLeaks(t *testing.T) {
	u := newUnit("removable", 512)
	for _, row := range u.rows {
		cdb := row.emptyCDB()
		for _, room := range []int{1, 36, 600} {
			for _, allocation := range []byte{0, 1, 0xff} {
				if row.attrs&dataOut != 0 && allocation != 0 {
					continue // with data-out of its own
				}
				// The low byte of an allocation length is at one of these offsets.
				for _, i := range []int{4, len(cdb) - 2, len(cdb) - 3} {
					some := bytes.Clone(cdb)
					if some[i] |= allocation & row.usage[i]; row.op == 0x1b {
						some[i] &= 0x01
					}
					buf := stale(room)
					n, why := execute(t, u.Disk, some, split(buf, 5, 100)...)
					if why == "" && len(bytes.Trim(buf[n:], "\x00")) > 0 && (n == 0 || !bytes.Equal(buf[n:], stale(room-n))) {
						t.Errorf("%s, %x: %d bytes of data-in, but buffers of %d hold % x", row.name, some, n, room, buf[n:min(room, n+16)])
					}
					execute(t, u.Disk, unhex(start))
				}
			}
		}
	}
}
