package e2e

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The image is a loop device. Writes to it stay in the kernel's cache of the
// device; the file behind the device shows which have reached the storage.
func TestFlushReachesTheStorage(t *testing.T) {
	needTarget(t)
	file := newImage(t, tmpfsDir(t), 16<<20)
	storage := loop(t, file)
	s := start(t, storage)
	disk := s.disks[0]
	data := noise(64<<10, 1)
	in := newImage(t, t.TempDir(), 0)
	if err := os.WriteFile(in, data, 0o644); err != nil {
		t.Fatal(err)
	}
	// Raw commands, since Linux would flush after a write.
	writeBlocks := func(lba, flags string) {
		t.Helper()
		cdb := strings.Fields("2a " + flags + " 00 00 " + lba + " 00 00 80 00")
		run(t, "sg_raw", append([]string{"--send=65536", "--infile=" + in, disk}, cdb...)...)
	}
	flushes := flushed(t, storage)

	writeBlocks("10 00", "00")
	if got := flushed(t, storage); got != flushes {
		t.Errorf("a write made %d flushes", got-flushes)
	}
	run(t, "sg_sync", disk)
	holds(t, file, 0x1000*512, data)
	if got := flushed(t, storage); got == flushes {
		t.Error("SYNCHRONIZE CACHE made no flush")
	}

	flushes = flushed(t, storage)
	writeBlocks("20 00", "08")
	holds(t, file, 0x2000*512, data)
	if got := flushed(t, storage); got == flushes {
		t.Error("FUA made no flush")
	}

	// fsync flushes the kernel's cache of the disk, and then the disk.
	write(t, disk, 0x3000*512, data)
	holds(t, file, 0x3000*512, data)

	// lunserve flushes when it ends.
	writeBlocks("40 00", "00")
	s.ends()
	holds(t, file, 0x4000*512, data)
}

// flushed returns how many flushes a block device has completed.
func flushed(t *testing.T, device string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(sys(t, device, "stat"))[15])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
