package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// hasBytes fails the test unless Linux sees a disk of this size.
func hasBytes(t *testing.T, disk string, want int64) {
	t.Helper()
	if got := strings.TrimSpace(run(t, "blockdev", "--getsize64", disk)); got != fmt.Sprint(want) {
		t.Errorf("%s has %s bytes, want %d", disk, got, want)
	}
}

func truncate(t *testing.T, image string, size int64) {
	t.Helper()
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
}

func TestMountedDiskGrows(t *testing.T) {
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			needTarget(t)
			image := newImage(t, place.dir(t), 32<<20)
			s := start(t, image)
			disk, dir := s.disks[0], t.TempDir()
			run(t, "mkfs.ext4", "-q", disk)
			mount(t, disk, dir)
			before := noise(8<<20, 1)
			if err := os.WriteFile(dir+"/before", before, 0o644); err != nil {
				t.Fatal(err)
			}

			truncate(t, image, 96<<20+511) // the last bytes do not fill a block
			s.signal(syscall.SIGHUP)
			s.stderr.await(t, `(?m)^lunserve: `+disk+`: now 96 MiB, was 32 MiB$`)
			hasBytes(t, disk, 96<<20)
			says(t, "sg_readcap", "--16", generic(t, disk)).has(`Last LBA=%d `, 96<<20/512-1)

			run(t, "resize2fs", disk)
			after := noise(48<<20, 2) // more than fitted before
			if err := os.WriteFile(dir+"/after", after, 0o644); err != nil {
				t.Fatal(err)
			}
			dropCaches(t)
			holds(t, dir+"/before", 0, before)
			holds(t, dir+"/after", 0, after)
			run(t, "umount", dir)
			run(t, "e2fsck", "-fn", disk)
			s.ends()
			run(t, "e2fsck", "-fn", image)
		})
	}
}

// Concurrent I/O sees no errors. On a removable disk, Linux would take the unit
// attention for a change of medium.
func TestDiskGrowsUnderLoad(t *testing.T) {
	for _, removable := range []bool{false, true} {
		t.Run(fmt.Sprint("removable=", removable), func(t *testing.T) {
			needTarget(t)
			image := newImage(t, tmpfsDir(t), 32<<20)
			s := start(t, fmt.Sprint("--removable=", removable), image)
			load := exec.Command("fio", "--name=load", "--filename="+s.disks[0], "--rw=randrw", "--bs=4k", "--direct=1",
				"--ioengine=libaio", "--iodepth=16", "--size=32m", "--time_based", "--runtime=600")
			var out bytes.Buffer
			load.Stdout, load.Stderr = &out, &out
			if err := load.Start(); err != nil {
				t.Fatal(err)
			}
			awaitWrites(t, s.disks[0])
			for size := int64(48 << 20); size <= 128<<20; size += 16 << 20 {
				run(t, binary, "resize", s.disks[0], fmt.Sprint(size))
				hasBytes(t, s.disks[0], size)
			}
			load.Process.Signal(syscall.SIGTERM) // fio completes its outstanding I/O
			if err := load.Wait(); !strings.Contains(out.String(), ": err= 0: ") {
				t.Errorf("fio: %v\n%s", err, &out)
			}
			s.ends()
		})
	}
}

// Shrinking under a file system is allowed, with a warning.
func TestMountedDiskShrinks(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 64<<20)
	s := start(t, image)
	disk, dir := s.disks[0], t.TempDir()
	run(t, "mkfs.ext4", "-q", disk, "32M")
	mount(t, disk, dir)
	truncate(t, image, 32<<20)
	s.signal(syscall.SIGHUP)
	s.stderr.await(t, `(?m)^lunserve: `+disk+`: now 32 MiB, was 64 MiB$`)
	s.stderr.await(t, `(?m)^lunserve: warning: `+disk+` is mounted on `+dir+`, and its data after the first 33,554,432 bytes is lost$`)
	hasBytes(t, disk, 32<<20)
	run(t, "umount", dir)
	run(t, "e2fsck", "-fn", disk)
	s.ends()
}

func TestDiskOfABlockDeviceGrows(t *testing.T) {
	needTarget(t)
	file := newImage(t, tmpfsDir(t), 16<<20)
	device := loop(t, file)
	s := start(t, device)
	truncate(t, file, 32<<20)
	run(t, "losetup", "--set-capacity", device)
	s.signal(syscall.SIGHUP)
	s.stderr.await(t, `now 32 MiB, was 16 MiB`)
	hasBytes(t, s.disks[0], 32<<20)
	write(t, s.disks[0], 32<<20-4096, noise(4096, 3))
	s.ends()
	holds(t, file, 32<<20-4096, noise(4096, 3))
}

func TestSnapshotSaysThatItIsNotResized(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := start(t, "-s", "--tmpdir="+filepath.Dir(image), image)
	truncate(t, image, 32<<20)
	s.signal(syscall.SIGHUP)
	s.stderr.await(t, `(?m)^lunserve: warning: `+image+`: cannot be resized; only raw images without --snapshot and --overlay can$`)
	hasBytes(t, s.disks[0], 16<<20)
	s.ends()
}

// lunserve rescans the local disk itself. A remote initiator gets CAPACITY DATA HAS
// CHANGED and has to rescan.
func TestInitiatorIsNotifiedOfAnotherSize(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	i := newInitiator(t)
	s := launch(t, exec.Command(binary, "--loopback", "--iscsi", image))
	local, url := s.line(), s.line()
	remote := i.node(itsName, url).login()
	sg := generic(t, remote)
	run(t, "sg_turs", sg)

	truncate(t, image, 32<<20)
	s.signal(syscall.SIGHUP)
	s.stderr.await(t, `now 32 MiB, was 16 MiB`)
	hasBytes(t, local, 32<<20)
	if out := fails(t, "sg_raw", sg, "00", "00", "00", "00", "00", "00"); !strings.Contains(out, "Capacity data has changed") {
		t.Errorf("the next command of the other machine: %s", out)
	}
	run(t, "sg_turs", sg)
	if err := os.WriteFile("/sys/class/block/"+filepath.Base(remote)+"/device/rescan", []byte("1"), 0); err != nil {
		t.Error(err)
	}
	hasBytes(t, remote, 32<<20)
	write(t, remote, 32<<20-4096, noise(4096, 4))
	holds(t, local, 32<<20-4096, noise(4096, 4))
	i.admin("-m", "node", "--logoutall=all")
	s.ends()
}
