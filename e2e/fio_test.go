package e2e

import (
	"fmt"
	"testing"
)

// Each of fio's blocks holds its own position, so that misplaced writes show.
func TestFioReadsWhatItWrote(t *testing.T) {
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, place.dir(t), 32<<20)
			s := start(t, fmt.Sprintf("--sector-size=%d", place.sector), image)
			size := []string{fmt.Sprintf("--bsrange=%d-256k", place.sector), "--io_size=24m"}
			run(t, "fio", fioJob(s.disks[0], size...)...)
			// Again with cold caches, so that reads have to wait for the image.
			dropCaches(t)
			run(t, "fio", fioJob(s.disks[0], append(size, "--verify_only")...)...)
			s.ends()
			// The image itself holds the same.
			run(t, "fio", fioJob(image, append(size, "--verify_only", "--direct=0")...)...)
		})
	}
}

// fioJob returns fio's arguments to write file at random and verify it.
func fioJob(file string, more ...string) []string {
	return append([]string{
		"--name=job", "--filename=" + file, "--rw=randrw", "--ioengine=libaio", "--iodepth=32", "--direct=1",
		"--verify=crc32c", "--verify_fatal=1", "--verify_dump=0", "--verify_state_save=0", "--randseed=1", "--randrepeat=1",
		"--minimal", "--aux-path=/tmp",
	}, more...)
}
