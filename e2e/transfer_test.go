package e2e

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// Linux does not split a read or write of 1 MiB.
func TestMebibyteIsOneCommand(t *testing.T) {
	needTarget(t)
	const size, each = 8 << 20, 1 << 20
	image, data := newImage(t, tmpfsDir(t), size), noise(size, 1)
	write(t, image, 0, data)
	s := start(t, image)
	disk := s.disks[0]
	if kb, _ := strconv.Atoi(sys(t, disk, "queue/max_sectors_kb")); kb < each>>10 {
		t.Errorf("the kernel sends no more than %d KiB in one command", kb)
	}

	// Direct I/O needs page-aligned memory.
	buf, err := syscall.Mmap(-1, 0, each, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(buf)
	f, err := os.OpenFile(disk, os.O_RDWR|syscall.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reads, writes := requests(t, disk)
	for off := int64(0); off < size; off += each {
		if _, err := f.ReadAt(buf, off); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf, data[off:off+each]) {
			t.Fatalf("wrong data at %d", off)
		}
		if _, err := f.WriteAt(buf, off); err != nil {
			t.Fatal(err)
		}
	}
	allReads, allWrites := requests(t, disk)
	if allReads-reads != size/each || allWrites-writes != size/each {
		t.Errorf("%d transfers each way were %d reads and %d writes", size/each, allReads-reads, allWrites-writes)
	}
	f.Close()
	s.ends()
	if r, w := s.did(disk); r != allReads || w != allWrites {
		t.Errorf("the kernel made %d reads and %d writes, lunserve says %d and %d", allReads, allWrites, r, w)
	}
}
