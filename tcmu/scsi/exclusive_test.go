package scsi

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// flipBit returns a copy of b with one bit of a byte inverted.
func flipBit(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 0x10
	return b
}

func TestCompareAndWrite(t *testing.T) {
	const cdb = "89 %02x %016x 000000 %02x 00 00"
	for _, blockSize := range []int{512, 4096} {
		image := randomBytes(1 << 20)
		last := 1<<20/blockSize - 1
		have := func(lba, n int) []byte { return slices.Clone(image[lba*blockSize:][:n*blockSize]) }
		fresh := func(n int) []byte { return bytes.Repeat([]byte("lunserve"), n*blockSize/8) }
		for _, x := range []struct {
			name    string
			flags   byte
			lba, n  int
			out     []byte
			written bool
			fail    string
		}{
			{name: "equal", lba: 5, n: 1, out: append(have(5, 1), fresh(1)...), written: true},
			{name: "equal, first block", lba: 0, n: 1, out: append(have(0, 1), fresh(1)...), written: true},
			{name: "equal, last block", lba: last, n: 1, out: append(have(last, 1), fresh(1)...), written: true},
			{name: "equal, some blocks", lba: 5, n: 3, out: append(have(5, 3), fresh(3)...), written: true},
			{name: "equal, at the limit", lba: 1, n: 255, out: append(have(0, last+1)[blockSize:][:min(255, last)*blockSize], fresh(255)...), written: last >= 255 && blockSize == 512},
			{name: "DPO", flags: 0x10, lba: 5, n: 1, out: append(have(5, 1), fresh(1)...), written: true},
			{name: "first byte differs", lba: 5, n: 2, out: append(flipBit(have(5, 2), 0), fresh(2)...), fail: "e/1d/00 info 0"},
			{name: "a byte differs", lba: 5, n: 2, out: append(flipBit(have(5, 2), blockSize+7), fresh(2)...), fail: fmt.Sprint("e/1d/00 info ", blockSize+7)},
			{name: "last byte differs", lba: 5, n: 2, out: append(flipBit(have(5, 2), 2*blockSize-1), fresh(2)...), fail: fmt.Sprint("e/1d/00 info ", 2*blockSize-1)},
			{name: "two bytes differ", lba: 5, n: 2, out: append(flipBit(flipBit(have(5, 2), 900), 100), fresh(2)...), fail: "e/1d/00 info 100"},
			{name: "the blocks to write are not compared", lba: 5, n: 1, out: append(have(5, 1), have(6, 1)...), written: true},
			{name: "zero blocks", lba: 5, n: 0},
			{name: "zero blocks at the end", lba: last + 1, n: 0},
			{name: "zero blocks past the end", lba: last + 2, n: 0, fail: fmt.Sprint("5/21/00 info ", last+2)},
			{name: "past the end", lba: last, n: 2, out: fresh(4), fail: fmt.Sprint("5/21/00 info ", last)},
			{name: "no data-out", lba: 5, n: 1, fail: "5/"},
			{name: "blocks to compare only", lba: 5, n: 1, out: have(5, 1), fail: "5/"},
			{name: "a byte missing", lba: 5, n: 1, out: append(have(5, 1), fresh(1)[1:]...), fail: "5/"},
			{name: "data-out for more blocks", lba: 5, n: 1, out: append(have(5, 2), fresh(2)...), fail: "5/"},
		} {
			if x.name == "equal, at the limit" && blockSize == 4096 {
				continue // the disk is too small
			}
			for _, shape := range shapes {
				u := newUnit("thin", blockSize)
				want := slices.Clone(u.bytes)
				if x.written {
					copy(want[x.lba*blockSize:], x.out[x.n*blockSize:])
				}
				sent := slices.Clone(x.out)
				cdb := unhex(fmt.Sprintf(cdb, x.flags, x.lba, x.n))
				n, why := execute(t, u.Disk, cdb, split(x.out, shape...)...)
				if n != 0 || why != x.fail && !(x.fail == "5/" && strings.HasPrefix(why, "5/")) {
					t.Errorf("%x %s in pieces of %d: sense data %q, want %q; %d bytes of data-in", cdb, x.name, shape, why, x.fail, n)
				}
				if !bytes.Equal(u.bytes, want) || !bytes.Equal(x.out, sent) {
					t.Errorf("%x %s: wrong image contents or data-out", cdb, x.name)
				}
				if x.fail != "" && slices.ContainsFunc(u.calls, func(s string) bool { return strings.HasPrefix(s, "write") }) {
					t.Errorf("%x %s: refused, but store calls %q", cdb, x.name, u.calls)
				}
			}
		}
	}
}

// The NUMBER OF LOGICAL BLOCKS field cannot hold more than the limit, and the
// bytes next to it are reserved.
func TestCompareAndWriteLimitIsReported(t *testing.T) {
	u := newUnit("thin", 512)
	if b := dataIn(t, u.Disk, "12 01 b0 00ff 00"); b[5] != 255 {
		t.Errorf("MAXIMUM COMPARE AND WRITE LENGTH is %d", b[5])
	}
	testExchanges(t, u.Disk, []exchange{
		{name: "a block too many", cdb: "89 00 0000000000000000 000001 00 00 00", fail: "5/24/00 cdb 12.0"},
		{name: "GROUP NUMBER", cdb: "89 00 0000000000000000 000000 01 03 00", fail: "5/24/00 cdb 14.1"},
		{name: "WRPROTECT", cdb: "89 20 0000000000000000 000000 01 00 00", fail: "5/24/00 cdb 1.5"},
	})
}

func TestOrWrite(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		last := 1<<20/blockSize - 1
		for _, x := range []struct {
			name   string
			flags  byte
			lba, n int
			room   int // of data-out; if zero, that of n blocks
			fail   string
		}{
			{name: "one block", lba: 5, n: 1},
			{name: "all", lba: 0, n: last + 1},
			{name: "the last block", lba: last, n: 1},
			{name: "DPO", flags: 0x10, lba: 5, n: 2},
			{name: "zero blocks", lba: 5, n: 0},
			{name: "zero blocks at the end", lba: last + 1, n: 0},
			{name: "zero blocks past the end", lba: last + 2, n: 0, fail: fmt.Sprint("5/21/00 info ", last+2)},
			{name: "past the end", lba: last, n: 2, fail: fmt.Sprint("5/21/00 info ", last)},
			{name: "short data-out", lba: 5, n: 2, room: 2*blockSize - 1, fail: "5/"},
		} {
			for _, shape := range shapes {
				u := newUnit("thin", blockSize)
				out := make([]byte, x.n*blockSize)
				for i := range out {
					out[i] = byte(i * 7 / 3)
				}
				if x.room > 0 {
					out = out[:x.room]
				}
				want, sent := slices.Clone(u.bytes), slices.Clone(out)
				if x.fail == "" {
					for i, b := range out {
						want[x.lba*blockSize+i] |= b
					}
				}
				cdb := unhex(fmt.Sprintf("8b %02x %016x %08x 00 00", x.flags, x.lba, x.n))
				n, why := execute(t, u.Disk, cdb, split(out, shape...)...)
				if n != 0 || why != x.fail && !(x.fail == "5/" && strings.HasPrefix(why, "5/")) {
					t.Errorf("%x %s in pieces of %d: sense data %q, want %q; %d bytes of data-in", cdb, x.name, shape, why, x.fail, n)
				}
				if !bytes.Equal(u.bytes, want) || !bytes.Equal(out, sent) {
					t.Errorf("%x %s: wrong image contents or data-out", cdb, x.name)
				}
			}
		}
	}
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "ORPROTECT", cdb: "8b 20 0000000000000000 00000001 00 00", fail: "5/24/00 cdb 1.5"},
		{name: "GROUP NUMBER", cdb: "8b 00 0000000000000000 00000001 01 00", fail: "5/24/00 cdb 14.0"},
	})
}

func TestFUAMakesExclusiveWritesDurable(t *testing.T) {
	same := randomBytes(1 << 12)[5*512:][:512]
	for _, cdb := range []string{"89 %02x 0000000000000005 000000 01 00 00", "8b %02x 0000000000000005 00000002 00 00"} {
		for flags, end := range map[int]string{0x00: "", 0x10: "", 0x08: " durable", 0x18: " durable"} {
			u := newUnit("thin", 512)
			_, why := execute(t, u.Disk, cdbWith(cdb, flags), slices.Concat(same, same))
			if n := len(u.calls); why != "" || n != 2 || !strings.HasPrefix(u.calls[1], "write") || strings.HasSuffix(u.calls[1], " durable") != (end != "") {
				t.Errorf(cdb+": sense data %q; store calls %q", flags, why, u.calls)
			}
		}
	}
}

// writeVerifies are the CDBs of WRITE AND VERIFY, with %x for byte 1, LBA and
// length.
var writeVerifies = []string{"2e%02x%08x00%04x00", "ae%02x%08x%08x0000", "8e%02x%016x%08x0000"}

func TestWriteAndVerify(t *testing.T) {
	for _, blockSize := range []int{512, 4096} {
		last := 1<<20/blockSize - 1
		for _, form := range writeVerifies {
			for _, x := range []struct {
				name   string
				flags  byte
				lba, n int
				room   int // of data-out; if zero, that of n blocks
				fail   string
			}{
				{name: "BYTCHK 00b", lba: 5, n: 3},
				{name: "BYTCHK 01b", flags: bytchk1, lba: 5, n: 3},
				{name: "DPO", flags: 0x10 | bytchk1, lba: 5, n: 3},
				{name: "all", lba: 0, n: last + 1},
				{name: "the last block", lba: last, n: 1},
				{name: "more data-out than needed", lba: 5, n: 3, room: 3*blockSize + 100},
				{name: "zero blocks", lba: 5, n: 0},
				{name: "zero blocks at the end", lba: last + 1, n: 0},
				{name: "zero blocks past the end", lba: last + 2, n: 0, fail: fmt.Sprint("5/21/00 info ", last+2)},
				{name: "past the end", lba: last, n: 2, fail: fmt.Sprint("5/21/00 info ", last)},
				{name: "short data-out", lba: 5, n: 2, room: 2*blockSize - 1, fail: "5/"},
				{name: "BYTCHK 10b", flags: bytchk2, lba: 5, n: 2, fail: "5/24/00 cdb 1.2"},
				{name: "BYTCHK 11b", flags: bytchk3, lba: 5, n: 2, fail: "5/24/00 cdb 1.2"},
				{name: "FUA, not supported", flags: 0x08, lba: 5, n: 2, fail: "5/24/00 cdb 1.3"},
				{name: "WRPROTECT", flags: 0x20, lba: 5, n: 2, fail: "5/24/00 cdb 1.5"},
			} {
				u := newUnit("thin", blockSize)
				out := bytes.Repeat([]byte("lunserve "), x.n*blockSize)[:x.n*blockSize]
				want := slices.Clone(u.bytes)
				if x.fail == "" {
					copy(want[x.lba*blockSize:], out)
				}
				if x.room > 0 {
					out = append(out, stale(100)...)[:x.room]
				}
				cdb := unhex(fmt.Sprintf(form, x.flags, x.lba, x.n))
				n, why := execute(t, u.Disk, cdb, split(out, 100, 1000)...)
				if n != 0 || why != x.fail && !(x.fail == "5/" && strings.HasPrefix(why, "5/")) {
					t.Errorf("%x %s: sense data %q, want %q; %d bytes of data-in", cdb, x.name, why, x.fail, n)
				}
				if !bytes.Equal(u.bytes, want) {
					t.Errorf("%x %s: wrong image contents", cdb, x.name)
				}
			}
		}
	}
}

// The write is durable before the blocks are read.
func TestWriteAndVerifyReadsFromTheMedium(t *testing.T) {
	for _, form := range writeVerifies {
		for _, flags := range []byte{bytchk0, bytchk1} {
			u := newUnit("thin", 512)
			cdb := unhex(fmt.Sprintf(form, flags, 5, 2))
			if _, why := execute(t, u.Disk, cdb, stale(1024)); why != "" {
				t.Errorf("%x: sense data %q", cdb, why)
			}
			if want := []string{"write 1024 at 2560 durable", "read 1024 at 2560"}; !slices.Equal(u.calls, want) {
				t.Errorf("%x: store calls %q, want %q", cdb, u.calls, want)
			}
		}
	}
}

// A corruptingStore reads one bit wrong.
type corruptingStore struct{ *thinStore }

func (l corruptingStore) ReadVec(bufs [][]byte, off int64, f backstores.Flag) error {
	err := l.thinStore.ReadVec(bufs, off, f)
	bufs[0][300] ^= 1
	return err
}

func TestWriteAndVerifyDetectsCorruption(t *testing.T) {
	u := newUnit("thin", 512)
	s := &thinStore{writableStore{memStore{bytes: u.bytes, fails: u.fails}}}
	d := NewDisk(corruptingStore{s}, u.Options)
	for _, form := range writeVerifies {
		if _, why := execute(t, d, unhex(fmt.Sprintf(form, bytchk1, 5, 1)), stale(512)); !strings.HasPrefix(why, "e/1d/00") {
			t.Errorf("%s: sense data %q, want MISCOMPARE", form, why)
		}
	}
}

func TestExclusiveCommandsReportErrorOfReadOrWrite(t *testing.T) {
	two := randomBytes(1 << 12)[5*512:][:512]
	two = append(slices.Clone(two), two...)
	for _, tt := range []struct {
		name, cdb, call string
		err             error
		fail            string
	}{
		{"COMPARE AND WRITE", "89 00 0000000000000005 000000 01 00 00", "read", unix.EIO, "3/11/00 info 5"},
		{"COMPARE AND WRITE", "89 00 0000000000000005 000000 01 00 00", "write", unix.EIO, "3/0c/00 info 5"},
		{"COMPARE AND WRITE", "89 00 0000000000000005 000000 01 00 00", "write", unix.ENOSPC, "7/27/07"},
		{"ORWRITE(16)", "8b 00 0000000000000005 00000002 00 00", "read", unix.EIO, "3/11/00 info 5"},
		{"ORWRITE(16)", "8b 00 0000000000000005 00000002 00 00", "write", unix.EIO, "3/0c/00"},
		{"WRITE AND VERIFY(10)", "2e 02 00000005 00 0002 00", "write", unix.EIO, "3/0c/00"},
		{"WRITE AND VERIFY(12)", "ae 02 00000005 00000002 00 00", "write", unix.ENOSPC, "7/27/07"},
		{"WRITE AND VERIFY(16)", "8e 00 0000000000000005 00000002 00 00", "read", unix.EIO, "3/11/00 info 5"},
	} {
		t.Run(fmt.Sprint(tt.name, " ", tt.call, " ", tt.err), func(t *testing.T) {
			u := newUnit("thin", 512)
			u.fails[tt.call] = tt.err
			if _, why := execute(t, u.Disk, unhex(tt.cdb), split(slices.Clone(two), 300)...); why != tt.fail {
				t.Errorf("sense data %q, want %q", why, tt.fail)
			}
			if len(u.reports) != 1 {
				t.Errorf("reported errors %q", u.reports)
			}
		})
	}
}

// The field pointer is at the number of blocks.
func TestTransferLimitOfExclusiveCommands(t *testing.T) {
	d, v := newHugeDisk(1<<40, 4096)
	limit := limits(t, d).transfer
	for _, x := range []struct {
		form  string
		field int
	}{{writeVerifies[0], 7}, {writeVerifies[1], 6}, {writeVerifies[2], 10}, {"8b%02x%016x%08x0000", 10}} {
		*v.calls = nil
		cdb := unhex(fmt.Sprintf(x.form, 0, 0, limit+1))
		if _, why := execute(t, d, cdb, stale(4096)); why != fmt.Sprint("5/24/00 cdb ", x.field) || len(*v.calls) > 0 {
			t.Errorf("%x: sense data %q, want a pointer at byte %d; store calls %q", cdb, why, x.field, *v.calls)
		}
	}
}

// 256 blocks do not fit into the field and become zero. The data-out shows that
// they were meant.
func TestCompareAndWriteOfZeroBlocksRefusesDataOut(t *testing.T) {
	u := newUnit("writable", 512)
	cdb := unhex("89 00 0000000000000000 000000 00 00 00")
	if _, why := execute(t, u.Disk, cdb, make([]byte, 512*512)); why != "5/24/00 cdb 13" {
		t.Errorf("sense data %q", why)
	}
	if _, why := execute(t, u.Disk, cdb, nil); why != "" {
		t.Errorf("without data-out: sense data %q", why)
	}
}
