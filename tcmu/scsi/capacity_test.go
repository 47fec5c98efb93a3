package scsi

import (
	"fmt"
	"testing"
)

func TestReadCapacity(t *testing.T) {
	const rc10, rc16 = "25 00 00000000 00 00 00 00", "9e 10 0000000000000000 00000020 00 00"
	zeros := func(n int) string { return fmt.Sprintf("%0*x", 2*n, 0) }
	for _, tt := range []struct {
		variant   string
		blockSize int
		want10    string
		want16    string // up to byte 16
	}{
		// LBPME and LBPRZ on thin disks; 2³ blocks of 512 bytes per physical block.
		{"thin", 512, "000007ff 00000200", "00000000000007ff 00000200 00 03 c000"},
		{"thin", 4096, "000000ff 00001000", "00000000000000ff 00001000 00 00 c000"},
		{"writable", 512, "000007ff 00000200", "00000000000007ff 00000200 00 03 0000"},
		{"writable", 4096, "000000ff 00001000", "00000000000000ff 00001000 00 00 0000"},
		{"read-only", 512, "000007ff 00000200", "00000000000007ff 00000200 00 03 0000"},
	} {
		t.Run(fmt.Sprint(tt.variant, " ", tt.blockSize), func(t *testing.T) {
			testExchanges(t, newUnit(tt.variant, tt.blockSize).Disk, []exchange{
				{name: "READ CAPACITY(10)", cdb: rc10, want: tt.want10},
				{name: "READ CAPACITY(16)", cdb: rc16, want: tt.want16 + zeros(16)},
				{name: "READ CAPACITY(16) into short buffers", cdb: rc16, room: 16, want: tt.want16},
			})
		})
	}
	testExchanges(t, newUnit("thin", 512).Disk, []exchange{
		{name: "READ CAPACITY(10) into short buffers", cdb: rc10, room: 5, want: "000007ff 00"},
		{name: "READ CAPACITY(10) with an LBA", cdb: "25 00 00000001 00 00 00 00", fail: "5/24/00 cdb 5.0"},
		{name: "READ CAPACITY(10) PMI", cdb: "25 00 00000000 00 00 01 00", fail: "5/24/00 cdb 8.0"},
		{name: "READ CAPACITY(16) allocation length 0", cdb: "9e 10 0000000000000000 00000000 00 00"},
		{name: "READ CAPACITY(16) truncated", cdb: "9e 10 0000000000000000 0000000c 00 00", want: "00000000000007ff 00000200"},
		{name: "READ CAPACITY(16) maximum allocation length", cdb: "9e 10 0000000000000000 ffffffff 00 00", room: 16, want: "00000000000007ff 00000200 00 03 c000"},
		{name: "READ CAPACITY(16) with an LBA", cdb: "9e 10 0000000000000001 00000020 00 00", fail: "5/24/00 cdb 9.0"},
		{name: "READ CAPACITY(16) PMI", cdb: "9e 10 0000000000000000 00000020 01 00", fail: "5/24/00 cdb 14.0"},
	})
}

func TestCapacityIsRoundedDownToBlocks(t *testing.T) {
	d, _ := newHugeDisk(1<<20+4095, 4096)
	testExchanges(t, d, []exchange{
		{name: "READ CAPACITY(10)", cdb: "25 00 00000000 00 00 00 00", want: "000000ff 00001000"},
		{name: "READ(10) of the remaining bytes", cdb: "28 00 00000100 00 0001 00", fail: "5/21/00 info 256"},
	})
}

func TestCapacityBeyondTenByteCommands(t *testing.T) {
	for _, tt := range []struct {
		blocks         int64
		want10, want16 string
	}{
		{1<<32 - 1, "fffffffe 00000200", "00000000fffffffe 00000200"},
		{1 << 32, "ffffffff 00000200", "00000000ffffffff 00000200"},
		{1<<32 + 1, "ffffffff 00000200", "0000000100000000 00000200"},
		{1 << 50, "ffffffff 00000200", "0003ffffffffffff 00000200"},
	} {
		d, _ := newHugeDisk(tt.blocks*512, 512)
		testExchanges(t, d, []exchange{
			{name: fmt.Sprint("READ CAPACITY(10) of ", tt.blocks), cdb: "25 00 00000000 00 00 00 00", want: tt.want10},
			{name: fmt.Sprint("READ CAPACITY(16) of ", tt.blocks), cdb: "9e 10 0000000000000000 0000000c 00 00", want: tt.want16},
		})
	}
}
