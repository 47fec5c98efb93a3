package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startMounted starts a server that mounts, and checks what it prints.
func startMounted(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := launch(t, exec.Command(binary, append(args, "--mount", dir)...))
	if line := s.line(); line != dir {
		t.Fatalf("printed %q, not %s\n%s", line, dir, s.stderr)
	}
	return s
}

// The file system is mounted while the disk is served, and what was written there is in
// the image, however the server ends.
func TestMountLastsAsLongAsTheDisk(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	image := newImage(t, dir, 64<<20)
	run(t, "mkfs.ext4", "-q", image)
	gone := func() {
		t.Helper()
		if mounted(t, mnt) {
			t.Errorf("%s is still mounted", mnt)
		}
	}
	for name, end := range map[string]func(s *server){
		"interrupted": func(s *server) { s.ends() },
		"detached":    func(s *server) { run(t, binary, "detach", image); s.wait() },
		"killed": func(s *server) {
			run(t, "sync", "-f", mnt)
			s.signal(syscall.SIGKILL)
			awaitNoDisks(t)
			s.wait()
		},
		"in use": func(s *server) {
			user := exec.Command("sleep", "600")
			user.Dir = mnt
			if err := user.Start(); err != nil {
				t.Fatal(err)
			}
			defer user.Wait()
			defer user.Process.Kill()
			s.signal(os.Interrupt)
			s.stderr.await(t, `(?m)^lunserve: files are open in `+mnt+` by sleep \(pid \d+\); \^C again`)
			if out := fails(t, binary, "detach", image); !strings.Contains(out, "files are open") {
				t.Errorf("detach says %q", out)
			}
			s.stop(os.Interrupt)
		},
	} {
		s := startMounted(t, mnt, image)
		says(t, "cp", "/proc/self/mounts", "/dev/stdout").has(`(?m)^/dev/sd\S+ %s ext4 rw,nosuid,nodev`, mnt)
		says(t, binary, "list", "--json").has(`"mounted":"%s"`, mnt)
		if err := os.WriteFile(filepath.Join(mnt, strings.ReplaceAll(name, " ", "-")), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		end(s)
		gone()
	}
	run(t, "sh", "-c", `e2fsck -fp "$0" || test $? = 1`, image) // the journal of the disk that was in use
	says(t, binary, "-q", "-r", "--mount="+mnt, image, "--", "sh", "-c", "ls $mnt; grep $mnt /proc/self/mounts; touch $mnt/new || echo refused").
		has(`interrupted`).has(`detached`).has(`killed`).has(`in-use`).has(` ext4 ro,nosuid,nodev`).has(`refused`)
	gone()
}

// A partition is chosen if there is one choice, or by its number.
func TestMountChoosesThePartition(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir, mnt := tmpfsDir(t), t.TempDir()
	image := newImage(t, dir, 64<<20)
	run(t, "sh", "-c", `printf 'label: gpt\n,16M\n,\n' | sfdisk -q "$0"`, image)
	if out := fails(t, binary, "--mount="+mnt, image); !strings.Contains(out, "has no file system that is known, but partition table (GPT)\n") {
		t.Errorf("without a file system: %s", out)
	}
	run(t, binary, "-q", image, "--run", "mkfs.ext4 -q ${dev}1")
	run(t, binary, "-q", "--mount="+mnt, image, "--run", "touch $mnt/first")
	run(t, binary, "-q", "--partition=2", image, "--run", "mkfs.xfs -q $dev || mkfs.ext4 -q $dev")
	if out := fails(t, binary, "--mount="+mnt, image); !strings.Contains(out, "; try --partition 1, or --partition 2\n") {
		t.Errorf("with two file systems: %s", out)
	}
	run(t, binary, "-q", "--mount="+mnt, "--partition=2", image, "--run", "touch $mnt/second")
	says(t, binary, "-q", "-s", image, "--", "sh", "-c", "mount ${dev}2 "+mnt+"; ls "+mnt+"; umount "+mnt+"; mount ${dev}1 "+mnt+"; ls "+mnt+"; umount "+mnt).
		has(`(?s)second.*first`)

}

// A scratch disk is a disk like others, and looks as it is told to.
func TestScratchDiskLooksAsItIsTold(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	says(t, binary, "-q", "--scratch=64M", "--vendor=ACME", "--product=Test Disk", "--revision=2.1", "--serial=S1", "--wwn=5001405000000001",
		"--rotational", "--no-write-cache", "--physical-block-size=512", "--", "sh", "-ec",
		"mkfs.ext4 -q $dev; e2fsck -fn $dev; cd /sys/block/${dev#/dev/}; cat device/vendor device/model device/rev device/wwid queue/rotational queue/write_cache queue/physical_block_size; sg_inq $dev").
		has(`ACME *\nTest Disk *\n2\.1 *\nnaa\.5001405000000001\W*1\nwrite through\n512\n`).has(`Unit serial number: S1`)
}
