// Command packbench compares packed images with zstd and pzstd, and qcow2 images with
// QEMU, without a virtual machine: the time to pack, to the first byte, to read
// everything, and for small reads. It needs lunserve, zstd, pzstd, tar, mke2fs,
// qemu-img, qemu-nbd and nbdcopy on PATH, and 10 GiB in $TMPDIR.
//
// Each figure is that of a process that does one thing. Processes that are compared
// take turns, so that other load on the machine affects all alike. On a shared
// machine, CPU time is more reliable than elapsed time.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

var (
	rounds = flag.Int("rounds", 5, "how often to run each command; the results are medians")
	qcow2  = flag.Bool("qcow2", false, "compare images of QEMU only")
	frames = flag.Bool("frames", false, "compare frame sizes instead, to choose the default of pack --frame-size")
)

func main() {
	flag.Parse()
	var err error
	if flag.NArg() == 2 { // one of our own children
		err = child(flag.Arg(0), flag.Arg(1))
	} else {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "packbench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM) // a running child also gets it, and fails
	dir, err := os.MkdirTemp("", "packbench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := makeImages("/usr"); err != nil {
		return err
	}
	switch {
	case *frames:
		begin("sizes of frames")
		return compareFrames(self)
	case *qcow2:
		return compareQcow2(self)
	}
	begin("packed images")
	for _, file := range []string{diskImage, data} {
		if err := comparePacking(file); err != nil {
			return err
		}
	}
	if err := compareReading(self); err != nil {
		return err
	}
	if err := compareStart(self); err != nil {
		return err
	}
	if err := small(self, diskImage+".lunserve"); err != nil {
		return err
	}
	return compareQcow2(self)
}

// comparePacking compares packing. The others use the packed files that it makes.
func comparePacking(file string) error {
	list := []command{
		{"lunserve pack", []string{"lunserve", "pack", "-f", file, file + ".lunserve"}},
		{"zstd -T0", []string{"zstd", "-q", "-f", "-T0", file, "-o", file + ".zstd"}},
		{"pzstd", []string{"pzstd", "-q", "-f", file, "-o", file + ".pzstd"}},
	}
	costs, err := turns(list)
	if err != nil {
		return err
	}
	size, err := sizeOf(file)
	if err != nil {
		return err
	}
	for i, c := range list {
		packed, err := sizeOf(c.args[len(c.args)-1])
		if err != nil {
			return err
		}
		row("pack "+file+": "+c.name, costs[i], "ratio %.2f", float64(size)/float64(packed))
	}
	return nil
}

// compareReading compares reading everything, in order.
func compareReading(self string) error {
	list := []command{
		{"lunserve", []string{self, "all", data + ".lunserve"}},
		{"zstd -d", []string{"zstd", "-q", "-d", "-c", data + ".zstd"}},
		{"zstd -d --no-asyncio", []string{"zstd", "-q", "-d", "-c", "--no-asyncio", data + ".zstd"}},
		{"pzstd -d", []string{"pzstd", "-q", "-d", "-c", data + ".pzstd"}},
	}
	costs, err := turns(list)
	if err != nil {
		return err
	}
	size, err := sizeOf(data)
	if err != nil {
		return err
	}
	for i, c := range list {
		row("all of "+data+": "+c.name, costs[i], "%.0f MB/s, %d MiB of memory",
			float64(size)/1e6/costs[i].wall.Seconds(), costs[i].memory>>20)
	}
	return nil
}

// compareStart compares the time to the first byte.
func compareStart(self string) error {
	list := []command{
		{"lunserve", []string{self, "first", diskImage + ".lunserve"}},
		{"zstd -d before", []string{"zstd", "-q", "-f", "-d", diskImage + ".zstd", "-o", "unpacked"}},
	}
	costs, err := turns(list)
	if err != nil {
		return err
	}
	for i, c := range list {
		row("first byte of "+diskImage+": "+c.name, costs[i], "")
	}
	return nil
}

// compareFrames compares frame sizes, with data only: holes are free at any
// size.
func compareFrames(self string) error {
	size, err := sizeOf(data)
	if err != nil {
		return err
	}
	const packed = data + ".lunserve"
	for _, frame := range []string{"64K", "128K", "256K", "512K", "1M", "2M"} {
		c, err := (command{args: []string{"lunserve", "pack", "-f", "--frame-size", frame, data, packed}}).run()
		if err != nil {
			return err
		}
		n, err := sizeOf(packed)
		if err != nil {
			return err
		}
		row(frame, c, "ratio %.2f", float64(size)/float64(n))
		if err := small(self, packed); err != nil {
			return err
		}
	}
	return nil
}

// small runs a child that prints the time of small reads.
func small(self, file string) error {
	cmd := command{args: []string{self, "small", file}}
	c, err := cmd.run()
	if err == nil {
		row("memory for that", "", "%d MiB", c.memory>>20)
	}
	return err
}
