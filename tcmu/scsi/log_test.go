package scsi

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func TestLogSense(t *testing.T) {
	const stat = "19 00 005c  0001 03 40 %016x%016x%016x%016x 0000000000000000 0000000000000000 0000000000000000 0000000000000000" +
		"0002 03 08 0000000000000000 0003 03 08 00000000 00000000"
	cases := func(pages, subpages string, thin bool) []exchange {
		all := []exchange{
			{name: "supported pages", cdb: "4d 00 00 00 00 0000 00ff 00", want: pages},
			{name: "supported pages, cumulative", cdb: "4d 00 40 00 00 0000 00ff 00", want: pages},
			{name: "supported pages and subpages", cdb: "4d 00 40 ff 00 0000 00ff 00", want: subpages},
			{name: "truncated", cdb: "4d 00 40 00 00 0000 0003 00", want: pages[:8]},
			{name: "allocation length 0", cdb: "4d 00 40 00 00 0000 0000 00"},
			{name: "statistics of a new disk", cdb: "4d 00 59 00 00 0000 00ff 00", want: fmt.Sprintf(stat, 0, 0, 0, 0)},
			{name: "threshold values", cdb: "4d 00 19 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.7"},
			{name: "default cumulative values", cdb: "4d 00 d9 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.7"},
			{name: "unknown page", cdb: "4d 00 4d 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.5"},
			{name: "unknown subpage", cdb: "4d 00 59 01 00 0000 00ff 00", fail: "5/24/00 cdb 3"},
			{name: "all subpages of a page", cdb: "4d 00 59 ff 00 0000 00ff 00", fail: "5/24/00 cdb 3"},
			{name: "PARAMETER POINTER", cdb: "4d 00 59 00 00 0001 00ff 00", fail: "5/24/00 cdb 5"},
			{name: "SP", cdb: "4d 01 59 00 00 0000 00ff 00", fail: "5/24/00 cdb 1.0"},
		}
		provisioning := exchange{name: "provisioning", cdb: "4d 00 4c 00 00 0000 00ff 00", fail: "5/24/00 cdb 2.5"}
		if thin {
			provisioning.fail, provisioning.want = "", "0c 00 000c  0002 03 08 00000800 01 000000"
		}
		return append(all, provisioning)
	}
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			d := newUnit(variant, 512).Disk
			if d.has&thin != 0 {
				testExchanges(t, d, cases("00 00 0003 00 0c 19", "40 ff 0008 0000 00ff 0c00 1900", true))
			} else {
				testExchanges(t, d, cases("00 00 0002 00 19", "40 ff 0006 0000 00ff 1900", false))
			}
		})
	}
}

// Received blocks are those written, transmitted blocks those read.
func TestStatisticsLogCounts(t *testing.T) {
	u := newUnit("thin", 4096)
	for range 3 {
		execute(t, u.Disk, unhex("28 00 00000000 00 0002 00"), stale(8192))
	}
	execute(t, u.Disk, unhex("2a 00 00000000 00 0005 00"), stale(5*4096))
	b := dataIn(t, u.Disk, "4d 00 59 00 00 0000 00ff 00")
	for i, f := range []struct {
		name string
		want uint64
	}{{"READ COMMANDS", 3}, {"WRITE COMMANDS", 1}, {"LOGICAL BLOCKS RECEIVED", 5}, {"LOGICAL BLOCKS TRANSMITTED", 6}} {
		if got := binary.BigEndian.Uint64(b[8+8*i:]); got != f.want {
			t.Errorf("NUMBER OF %s is %d, want %d", f.name, got, f.want)
		}
	}
}

func TestProvisioningLogCountsMappedBlocks(t *testing.T) {
	d, _ := newHoleDisk(1<<20, 512, 4096, 8192, 16384, 1<<20-100)
	testExchanges(t, d, []exchange{{name: "used", cdb: "4d 00 4c 00 00 0000 00ff 00",
		want: "0c 00 000c  0002 03 08 00000019 01 000000"}}) // 8 + 16, and a block with 100 bytes of data
}
