package contents

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tools that make partitions and file systems, and Read, agree. What is
// missing is said.
func TestContentsAreFound(t *testing.T) {
	const (
		gpt = "printf 'label: gpt\n,4M\n,\n' | sfdisk -q disk; "
		// sfdisk asks a device for the size of its blocks.
		loop  = " | { d=$(losetup --find --show --sector-size 4096 disk); sfdisk -q --no-reread --no-tell-kernel $d; losetup --detach $d; }; "
		large = "truncate -s 64M disk; printf 'label: gpt\n,16M\n,\n'" + loop
		wipe  = "dd if=/dev/zero of=disk conv=notrunc status=none "
	)
	for _, tt := range []struct {
		name, line string
		sector     int
		want       []string
	}{
		{"nothing", "truncate -s 4M disk", 0, []string{"unknown"}},
		{"noise", "head -c 4M /dev/urandom >disk", 0, []string{"unknown"}},
		{"one byte", "printf x >disk", 0, []string{"unknown"}},
		{"511 bytes", "head -c 511 /dev/zero >disk", 0, []string{"unknown"}},
		{"ext4", "truncate -s 4M disk; mkfs.ext4 -q -L tools disk", 0, []string{`ext4 "tools"`}},
		{"ext2", "truncate -s 4M disk; mkfs.ext2 -q -b 1024 disk", 0, []string{"ext2"}},
		{"ext3", "truncate -s 16M disk; mkfs.ext3 -q disk", 0, []string{"ext3"}},
		{"swap", "truncate -s 4M disk; chmod 600 disk; mkswap -q disk", 0, []string{"swap"}},

		{"GPT", "truncate -s 8M disk; " + gpt, 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown"}},
		{"GPT of 4096-byte blocks", large, 4096,
			[]string{"partition table (GPT)", "partition 1: 16 MiB, unknown", "partition 2: 46 MiB, unknown"}},
		{"GPT, longer image", "truncate -s 8M disk; " + gpt + "truncate -s 16M disk", 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown"}},
		{"GPT, cut short", "truncate -s 8M disk; " + gpt + "truncate -s 6M disk", 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown, 1.0 MiB of it past the end of the image",
				"the copy of the GPT is past the end of the image; was it cut short?", "its partitions need 1.0 MiB more than the image has; was it cut short?"}},
		{"GPT, cut shorter", "truncate -s 8M disk; " + gpt + "truncate -s 3M disk", 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown, 2.0 MiB of it past the end of the image", "partition 2: 2.0 MiB, unknown, 2.0 MiB of it past the end of the image",
				"the copy of the GPT is past the end of the image; was it cut short?", "its partitions need 4.0 MiB more than the image has; was it cut short?"}},
		{"GPT, first header gone", "truncate -s 8M disk; " + gpt + wipe + "seek=1 count=1", 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown",
				"the first header of the GPT is missing or damaged; its copy at the end is right"}},
		{"GPT of 4096-byte blocks, first header gone", large + wipe + "bs=4096 seek=1 count=1", 4096,
			[]string{"partition table (GPT)", "partition 1: 16 MiB, unknown", "partition 2: 46 MiB, unknown",
				"the first header of the GPT is missing or damaged; its copy at the end is right"}},
		{"GPT, entries damaged", "truncate -s 8M disk; " + gpt + "printf x | dd of=disk bs=1 seek=1064 conv=notrunc status=none", 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown",
				"the first header of the GPT is missing or damaged; its copy at the end is right"}},
		{"GPT, both gone", "truncate -s 8M disk; " + gpt + wipe + "seek=1 count=1; " + wipe + "seek=16383 count=1", 0,
			[]string{"partition table (GPT, damaged)", "only the protective MBR of the GPT is left"}},
		{"GPT, copy gone", "truncate -s 8M disk; " + gpt + wipe + "seek=16383 count=1", 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown", "the copy of the GPT is missing or damaged"}},
		{"two GPTs", "truncate -s 8M disk; " + gpt + "cp disk old; printf 'label: gpt\n,2M\n' | sfdisk -q disk; dd if=old of=disk bs=512 skip=16000 seek=16000 conv=notrunc status=none", 512,
			[]string{"partition table (GPT)", "partition 1: 2.0 MiB, unknown", "the GPT and its copy differ; the first counts"}},
		{"GPT, no protective MBR", "truncate -s 8M disk; " + gpt + wipe + "count=1", 512,
			[]string{"partition table (GPT)", "partition 1: 4.0 MiB, unknown", "partition 2: 2.0 MiB, unknown", "the protective MBR of the GPT is missing, so Linux ignores the GPT"}},
		{"GPT below an MBR", "truncate -s 8M disk; " + gpt + "truncate -s 8M mbr; echo 2048,4096,L | sfdisk -q mbr; dd if=mbr of=disk count=1 conv=notrunc status=none", 0,
			[]string{"partition table (MBR)", "partition 1: 2.0 MiB, unknown", "there is a GPT as well, which Linux ignores: the MBR has no entry for it"}},

		{"MBR with logical partitions", "truncate -s 16M disk; printf 'label: dos\n,2M\n,,E\n,2M\n,2M\n' | sfdisk -q disk", 0,
			[]string{"partition table (MBR)", "partition 1: 2.0 MiB, unknown", "partition 2: 13 MiB, unknown", "partition 5: 2.0 MiB, unknown", "partition 6: 2.0 MiB, unknown"}},
		{"MBR, cut short", "truncate -s 16M disk; printf 'label: dos\n,2M\n,\n' | sfdisk -q disk; truncate -s 8M disk", 0,
			[]string{"partition table (MBR)", "partition 1: 2.0 MiB, unknown", "partition 2: 13 MiB, unknown, 8.0 MiB of it past the end of the image",
				"its partitions need 8.0 MiB more than the image has; was it cut short?"}},
		{"MBR of 4096-byte blocks", "truncate -s 64M disk; printf 'label: dos\n,16M\n'" + loop + "truncate -s 16M fs; mkfs.ext4 -q fs; dd if=fs of=disk bs=1M seek=1 conv=notrunc status=none", 4096,
			[]string{"partition table (MBR)", "partition 1: 16 MiB, ext4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command("sh", "-euc", tt.line)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				if os.Getenv("CI") == "" {
					t.Skipf("%v: %s", err, out)
				}
				t.Fatalf("%v: %s", err, out)
			}
			f, err := os.Open(filepath.Join(dir, "disk"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			disk, err := Read(f, st.Size())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range disk.Volumes {
				got = append(got, v.String())
			}
			got = append(got, disk.Notes...)
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") || disk.SectorSize != tt.sector {
				t.Errorf("found sectors of %d,\n%s\nwant %d\n%s", disk.SectorSize, strings.Join(got, "\n"), tt.sector, strings.Join(tt.want, "\n"))
			}
		})
	}
}

// A counter counts the bytes that are read.
type counter struct {
	io.ReaderAt
	n int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

// Whatever is on a disk, Read reads a bounded part of it, and what it returns
// makes sense.
func FuzzRead(f *testing.F) {
	for _, line := range []string{
		"truncate -s 1M disk; printf 'label: gpt\n,64K\n,\n' | sfdisk -q disk",
		"truncate -s 4M disk; printf 'label: dos\n,1M\n,,E\n,1M\n' | sfdisk -q disk",
		"truncate -s 256K disk; mkfs.ext2 -q disk",
	} {
		cmd := exec.Command("sh", "-euc", line)
		cmd.Dir = f.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			f.Logf("%v: %s", err, out)
			continue
		}
		if disk, err := os.ReadFile(filepath.Join(cmd.Dir, "disk")); err == nil {
			f.Add(disk[:min(len(disk), 40<<10)], int64(len(disk)))
		}
	}
	f.Add([]byte{}, int64(1)<<62)
	f.Fuzz(func(t *testing.T, start []byte, size int64) {
		if size < 0 {
			return
		}
		sign(start)
		c := &counter{ReaderAt: sparse{bytes.NewReader(start), size}}
		disk, err := Read(c, size)
		if err != nil {
			t.Fatal(err)
		}
		if most := int64(32 << 20); c.n > most {
			t.Errorf("read %d bytes, more than %d", c.n, most)
		}
		if len(disk.Volumes) > 2*maxPartitions {
			t.Errorf("%d volumes", len(disk.Volumes))
		}
		for i, v := range disk.Volumes {
			if v.Start < 0 || v.Size < 0 || v.Missing < 0 || v.Missing > v.Size || (i > 0) != (v.Partition > 0) || v.String() == "" {
				t.Errorf("volume %d: %+v", i, v)
			}
		}
	})
}

// sign makes the checksums of a GPT right, which a fuzzer does not find out.
func sign(start []byte) {
	for _, block := range []uint64{512, 4096} {
		if uint64(len(start)) < block+512 || string(start[block:block+8]) != "EFI PART" {
			continue
		}
		h := start[block:][:512]
		u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
		at, n := u64(h[72:])*block, uint64(u32(h[80:]))*uint64(u32(h[84:]))
		if at < uint64(len(start)) && n <= uint64(len(start))-at {
			binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(start[at:at+n]))
		}
		if size := u32(h[12:]); size >= 20 && size <= 512 {
			clear(h[16:20])
			binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
		}
	}
}

// A sparse is a disk of zeros but for its start.
type sparse struct {
	start *bytes.Reader
	size  int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if _, err := s.start.ReadAt(p, off); err != nil && err != io.EOF {
		return 0, err
	}
	return int(min(int64(len(p)), max(s.size-off, 0))), nil
}
