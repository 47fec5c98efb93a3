package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// A scrub of Btrfs finds what a disk cannot read and what it returns wrong, and nothing
// without rules. XFS has errors for what cannot be read; Debian's kernel has no scrub of
// XFS (CONFIG_XFS_ONLINE_SCRUB).
func TestFaultsAreFoundByScrubs(t *testing.T) {
	for _, fs := range []struct {
		name  string
		size  int64
		make  []string
		scrub []string // before the mount point
		finds map[string]string
	}{
		{"btrfs", 128 << 20, []string{"mkfs.btrfs", "-q", "-d", "single"}, []string{"btrfs", "scrub", "start", "-B", "-r"},
			// Linux 6.1 counts the block. 6.12 counts all blocks of the read that failed, and those as
			// corrected that it has then read one by one.
			map[string]string{"medium": `Error summary: +read=1\n|Uncorrectable: +1\n`, "flip": `Error summary: +csum=1\n`}},
		{"xfs", 320 << 20, []string{"mkfs.xfs", "-q"}, []string{"sh", "-c", `cat "$0"/* >/dev/null`},
			map[string]string{"medium": `Input/output error`}},
	} {
		t.Run(fs.name, func(t *testing.T) {
			needTarget(t)
			image, mnt := newImage(t, tmpfsDir(t), fs.size), t.TempDir()
			s := start(t, image)
			run(t, fs.make[0], append(fs.make[1:], s.disks[0])...)
			mount(t, s.disks[0], mnt)
			data, file := noise(1<<20, 6), filepath.Join(mnt, "file")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "sync", file)
			at := bytes.Index(read(t, image, 0, int(fs.size)), data[8192:12288])
			if at < 0 || at%4096 != 0 {
				t.Fatalf("the file is not in the image: %d", at)
			}
			scrub := func() (string, error) {
				dropCaches(t)
				return try(t, fs.scrub[0], append(fs.scrub[1:], mnt)...)
			}
			for action, finds := range fs.finds {
				setFaults(t, image, fmt.Sprintf("read lba %d+8: %s", at/512, action))
				if out, err := scrub(); !regexp.MustCompile(finds).MatchString(out) { // it may have succeeded
					t.Errorf("%s: %v\n%s", action, err, out)
				}
			}
			setFaults(t, image, fmt.Sprintf("read lba %d+8: medium", at/512))
			dropCaches(t)
			if _, err := os.ReadFile(file); !errors.Is(err, syscall.EIO) {
				t.Errorf("a file with a bad block: %v", err)
			}
			setFaults(t, image)
			if out, err := scrub(); err != nil || regexp.MustCompile(`Error summary: +[a-z]+=`).MatchString(out) {
				t.Errorf("without faults: %v\n%s", err, out)
			}
			holds(t, file, 0, data)
			run(t, "umount", mnt)
			s.ends()
		})
	}
}
