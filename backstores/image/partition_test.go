package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/hint"
)

// sfdisk and Partition agree, and a partition that was cut off keeps its length.
func TestPartitionIsWhereSfdiskHasMadeIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	cmd := exec.Command("sfdisk", "-q", path)
	cmd.Stdin = strings.NewReader("label: gpt\n2048,8M\n,\n")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 32<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("%v: %s", err, out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	check := func(number int, off, n int64, want string) {
		t.Helper()
		gotOff, gotN, err := image.Partition(ctx, path, open(t, path, reading), number)
		if gotOff != off || gotN != n || (err == nil) != (want == "") || err != nil && !strings.Contains(hint.Text(err), want) {
			t.Errorf("partition %d: %d bytes at %d, %v", number, gotN, gotOff, err)
		}
	}
	check(1, 1<<20, 8<<20, "")
	check(2, 9<<20, 22<<20, "")
	check(3, 0, 0, "has no partition 3, but partition 1: 8.0 MiB, unknown; partition 2: 22 MiB, unknown; try --partition 1, or --partition 2")
	if err := os.Truncate(path, 12<<20); err != nil {
		t.Fatal(err)
	}
	check(2, 9<<20, 22<<20, "")
	if err := os.Truncate(path, 4<<20); err != nil {
		t.Fatal(err)
	}
	check(2, 0, 0, "has no partition 2")
	if err := os.Truncate(path, 512); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	check(1, 0, 0, "has no partition table")
}

// What mkfs has made is found, in a partition too; if there is a choice, it is the user's.
func TestFileSystemIsTheOnlyOne(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		number     int
		kind, want string
	}{
		{"whole", "mkfs.ext4 -q disk.img", 0, "ext4", ""},
		{"only partition", "sfdisk -q disk.img; mkfs.ext4 -q -E offset=9437184 disk.img 1M", 2, "ext4", ""},
		{"two partitions", "sfdisk -q disk.img; mkfs.ext4 -q -E offset=9437184 disk.img 1M; mkfs.ext2 -q -E offset=1048576 disk.img 1M", 0, "",
			"has several file systems: partition 1: 8.0 MiB, ext2; partition 2: 22 MiB, ext4; try --partition 1, or --partition 2"},
		{"none", "mkswap -q disk.img", 0, "", "has no file system that is known, but swap"},
		{"no partition has one", "sfdisk -q disk.img", 0, "", "has no file system that is known, but partition table (GPT)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command("sh", "-euc", "truncate -s 32M disk.img; chmod 600 disk.img; "+tt.line)
			cmd.Dir, cmd.Stdin = dir, strings.NewReader("label: gpt\n2048,8M\n,\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				if os.Getenv("CI") == "" {
					t.Skipf("%v: %s", err, out)
				}
				t.Fatalf("%v: %s", err, out)
			}
			path := filepath.Join(dir, "disk.img")
			number, kind, err := image.FileSystem(ctx, path, open(t, path, reading))
			if number != tt.number || kind != tt.kind || (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(hint.Text(err), tt.want) {
				t.Errorf("%s in partition %d: %v", kind, number, err)
			}
		})
	}
}
