package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sys returns a sysfs attribute of a block device.
func sys(t *testing.T, disk, attribute string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(disk), attribute))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// generic returns the sg node of a disk. It takes any SCSI command, even those
// that Linux does not pass on from the block device.
func generic(t *testing.T, disk string) string {
	t.Helper()
	found, err := filepath.Glob("/sys/class/block/" + filepath.Base(disk) + "/device/scsi_generic/*")
	if err != nil || len(found) != 1 {
		t.Fatalf("generic nodes of %s: %v, %v", disk, found, err)
	}
	return "/dev/" + filepath.Base(found[0])
}

// address returns the SCSI address of a disk: host, channel, target, LUN.
func address(t *testing.T, disk string) string {
	t.Helper()
	device, err := os.Readlink("/sys/class/block/" + filepath.Base(disk) + "/device")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(device)
}

// requests returns how many reads and writes the kernel has sent to a disk.
func requests(t *testing.T, disk string) (reads, writes int) {
	t.Helper()
	stat := strings.Fields(sys(t, disk, "stat"))
	reads, _ = strconv.Atoi(stat[0])
	writes, _ = strconv.Atoi(stat[4])
	return reads, writes
}

// awaitWrites waits until a load has written to a disk: a program that was started
// may take seconds before it does anything.
func awaitWrites(t *testing.T, disk string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, writes := requests(t, disk); writes >= 100 {
			return
		}
		if time.Since(began) > timeLimit {
			t.Fatalf("%s: not written to", disk)
		}
	}
}
