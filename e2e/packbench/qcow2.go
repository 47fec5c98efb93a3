package main

import (
	"fmt"

	"github.com/lunserve/lunserve/backstores"
)

// Small reads are of 4 KiB and this far apart, so that each is of another cluster.
const (
	smallReads = 1400
	apart      = 1<<20 + 4<<10
)

// compareQcow2 compares reading images of QEMU with QEMU itself: all of it with
// qemu-nbd, whose data nbdcopy gets, and small reads with qemu-img bench, which
// reads without NBD.
func compareQcow2(self string) error {
	begin("qcow2 images")
	for _, image := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"zlib", []string{"-c"}},
		{"zstd", []string{"-c", "-o", "compression_type=zstd"}},
	} {
		file := data + "." + image.name
		convert := append([]string{"qemu-img", "convert", "-f", "raw", "-O", "qcow2"}, image.args...)
		if _, err := (command{args: append(convert, data, file)}).run(); err != nil {
			return err
		}
		size, err := sizeOf(data)
		if err != nil {
			return err
		}
		list := []command{
			{"lunserve", []string{self, "all", file}},
			{"qemu-nbd, nbdcopy", []string{"nbdcopy", "--", "[", "qemu-nbd", "-r", "-f", "qcow2", file, "]", "null:"}},
		}
		costs, err := turns(list)
		if err != nil {
			return err
		}
		for i, c := range list {
			row("all of "+image.name+": "+c.name, costs[i], "%.0f MB/s", float64(size)/1e6/costs[i].wall.Seconds())
		}
		list = []command{
			{"lunserve", []string{self, "apart", file}},
			{"qemu-img bench", []string{"qemu-img", "bench", "-f", "qcow2", "-d", "1", "-c", fmt.Sprint(smallReads), "-s", "4096", "-S", fmt.Sprint(apart), file}},
		}
		if costs, err = turns(list); err != nil {
			return err
		}
		for i, c := range list {
			row("4 KiB of "+image.name+": "+c.name, costs[i], "%.0f µs each", float64(costs[i].wall.Microseconds())/smallReads)
		}
	}
	return nil
}

// readApart reads 4 KiB here and there, in the order of the image, as qemu-img bench
// does.
func readApart(store backstores.Backstore) error {
	p := [][]byte{make([]byte, 4096)}
	for i := range int64(smallReads) {
		if err := backstores.ReadVec(store, p, i*apart%(store.Size()-4096), 0); err != nil {
			return err
		}
	}
	return nil
}
