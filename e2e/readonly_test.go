package e2e

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The disk reports WP and refuses every command that would change it.
func TestReadOnlyDiskStaysAsItIs(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	run(t, "mkfs.ext4", "-q", image)
	before, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "-r", image)
	disk := s.disks[0]
	s.stderr.await(t, `(?m)^lunserve: `+image+`: sparse, 16 MiB, read-only$`)

	// Linux reads the WP bit.
	if _, err := os.OpenFile(disk, os.O_WRONLY, 0); err == nil {
		t.Error("the disk can be opened for writing")
	}
	dir := t.TempDir()
	mount(t, disk, dir, "-o", "ro")
	if _, err := os.ReadDir(dir); err != nil {
		t.Error(err)
	}
	run(t, "umount", dir)

	// The disk itself also refuses: DATA PROTECT, WRITE PROTECTED.
	sg := generic(t, disk)
	data := newImage(t, t.TempDir(), 4096)
	for name, cdb := range map[string]string{
		"WRITE(6)":      "0a 00 00 00 01 00",
		"WRITE(10)":     "2a 00 00 00 00 00 00 00 01 00",
		"WRITE(10) FUA": "2a 08 00 00 00 00 00 00 01 00",
		"WRITE(12)":     "aa 00 00 00 00 00 00 00 00 01 00 00",
		"WRITE(16)":     "8a 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00",
	} {
		out := fails(t, "sg_raw", append([]string{"--send=512", "--infile=" + data, sg}, strings.Fields(cdb)...)...)
		if !strings.Contains(out, "Write protected") {
			t.Errorf("%s: %s", name, out)
		}
	}
	fails(t, "sg_unmap", "--force", "--lba=0", "--num=8", sg)
	fails(t, "blkdiscard", disk)
	run(t, "sg_sync", sg) // a no-op, not an error
	s.ends()

	after, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the image has changed")
	}
	if reads, writes := s.did(disk); reads == 0 || writes != 0 {
		t.Errorf("%d reads and %d writes", reads, writes)
	}
}

func TestImageThatCannotBeWrittenIsServedReadOnly(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	image := newImage(t, dir, 1<<20)
	write(t, image, 0, noise(4096, 1))
	run(t, "mount", "-o", "remount,ro", dir)
	refused(t, "lunserve: "+image+": cannot be opened for writing: read-only file system; try --read-only", image)
	s := start(t, "-r", image)
	holds(t, s.disks[0], 0, noise(4096, 1))
	s.ends()
}
