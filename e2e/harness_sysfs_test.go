package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// sys is an attribute that the kernel shows of a block device.
func sys(t *testing.T, disk, attribute string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(disk), attribute))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// generic is the node that takes any SCSI command for a disk, those included
// which Linux itself would hold back from it.
func generic(t *testing.T, disk string) string {
	t.Helper()
	found, err := filepath.Glob("/sys/class/block/" + filepath.Base(disk) + "/device/scsi_generic/*")
	if err != nil || len(found) != 1 {
		t.Fatalf("generic nodes of %s: %v, %v", disk, found, err)
	}
	return "/dev/" + filepath.Base(found[0])
}

// address is where a disk is among the SCSI devices: host, channel, target, LUN.
func address(t *testing.T, disk string) string {
	t.Helper()
	device, err := os.Readlink("/sys/class/block/" + filepath.Base(disk) + "/device")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(device)
}

// requests are the reads and writes that the kernel has had the disk do.
func requests(t *testing.T, disk string) (reads, writes int) {
	t.Helper()
	stat := strings.Fields(sys(t, disk, "stat"))
	reads, _ = strconv.Atoi(stat[0])
	writes, _ = strconv.Atoi(stat[4])
	return reads, writes
}
