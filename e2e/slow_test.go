package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A command that waits for slow storage delays no read of what is in memory, of its
// own disk or of another. COMPARE AND WRITE once stopped all reads of its disk.
func TestSlowStorageDelaysNoReads(t *testing.T) {
	needTarget(t)
	const delay = 500 * time.Millisecond
	d, dir := newStorage(t, 64<<20), tmpfsDir(t)
	s := start(t, d.path, newImage(t, dir, 16<<20))
	for _, disk := range s.disks {
		write(t, disk, 0, noise(1<<20, 1))
	}
	block, pair := filepath.Join(dir, "block"), filepath.Join(dir, "pair")
	for name, data := range map[string][]byte{block: noise(512, 2), pair: append(noise(1<<20, 1)[:512], noise(512, 2)...)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	readAll := func() {
		for _, disk := range s.disks {
			readDirect(t, disk, 512<<10)
		}
	}
	alone, began := 0, time.Now()
	for ; time.Since(began) < 2*delay; alone++ {
		readAll()
	}
	t.Logf("alone: %d reads of each disk in a second", alone)
	d.slow(delay)
	const at = " 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00" // LBA 0, one block
	for _, command := range []string{
		"sg_compare_and_write --fua --in=" + pair + " --lba=0 DISK",
		"sg_write_verify --16 --in=" + block + " --lba=0 --num=1 --ilen=512 DISK",
		"sg_raw --send=512 --infile=" + block + " DISK 8b 08" + strings.TrimPrefix(at, " 00"), // ORWRITE with FUA
		"sg_raw --send=512 --infile=" + block + " DISK 8a 08" + strings.TrimPrefix(at, " 00"), // WRITE with FUA
		"dd if=" + block + " of=DISK bs=512 count=1 conv=fsync,notrunc",                       // SYNCHRONIZE CACHE
	} {
		words := strings.Fields(strings.ReplaceAll(command, "DISK", s.disks[0]))
		began, done := time.Now(), make(chan error, 1)
		go func() {
			_, err := try(t, words[0], words[1:]...)
			done <- err
		}()
		reads, ended := 0, false
		for !ended {
			readAll()
			reads++
			select {
			case err := <-done:
				ended = true
				if err != nil {
					t.Errorf("%s: %v", command, err)
				}
			default:
			}
		}
		took := time.Since(began)
		t.Logf("%s: %v, %d reads of each disk meanwhile, %.2f of alone", words[0], took.Round(time.Millisecond), reads,
			float64(reads)/took.Seconds()*2*delay.Seconds()/float64(alone))
		if took < delay {
			t.Errorf("%s took %v: it did not wait for the storage", command, took)
		}
		if reads < 10 { // with a lock, one waits for all of it
			t.Errorf("%s: only %d reads of each disk in %v", command, reads, took)
		}
	}
	d.heal()
	s.ends()
}

// readDirect reads 4 KiB past the cache of this machine.
func readDirect(t *testing.T, disk string, off int64) {
	t.Helper()
	fd, err := unix.Open(disk, unix.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const size = 4096
	buf := make([]byte, 2*size)
	skip := -int(uintptr(unsafe.Pointer(&buf[0]))) & (size - 1)
	if _, err := unix.Pread(fd, buf[skip:][:size], off); err != nil {
		t.Fatal(err)
	}
}
