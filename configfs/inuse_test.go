package configfs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// sysBlock makes a disk with two partitions, and its links as in sysfs.
func (k *kernel) sysBlock(name, dev string) {
	k.file("sys/devices/"+name+"/dev", dev+"\n")
	for _, p := range []string{"1", "2"} {
		k.file("sys/devices/"+name+"/"+name+p+"/dev", dev+p+"\n")
		k.file("sys/devices/"+name+"/"+name+p+"/partition", p+"\n")
		k.link("sys/devices/"+name+"/"+name+p, "sys/class/block/"+name+p)
	}
	k.link("sys/devices/"+name, "sys/class/block/"+name)
}

func (k *kernel) link(to, name string) {
	name = filepath.Join(k.root, name)
	os.MkdirAll(filepath.Dir(name), 0o755)
	if err := os.Symlink(filepath.Join(k.root, to), name); err != nil {
		panic(err)
	}
}

func TestInUseTellsEveryUser(t *testing.T) {
	k := newKernel(t)
	k.sysBlock("sdb", "8:16")
	k.sysBlock("sdbb", "65:16")

	// A logical volume on the second partition, encrypted, with a file system.
	k.file("sys/devices/dm-0/dev", "254:0\n")
	k.file("sys/devices/dm-0/dm/name", "vg-root\n")
	k.file("sys/devices/dm-1/dev", "254:1\n")
	k.file("sys/devices/dm-1/dm/name", "secret\n")
	k.link("sys/devices/dm-0", "sys/class/block/dm-0")
	k.link("sys/devices/dm-1", "sys/class/block/dm-1")
	k.link("sys/devices/dm-0", "sys/devices/sdb/sdb2/holders/dm-0")
	k.link("sys/devices/dm-1", "sys/devices/dm-0/holders/dm-1")
	k.link("sys/devices/sdb", "sys/devices/dm-1/holders/sdb") // a loop must not hang us

	mounts := "21 1 8:161 / /mnt/my\\040disk rw - ext4 " + k.dev + "/sdb1 rw\n" +
		"22 1 0:45 / /mnt/btrfs rw shared:1 - btrfs " + k.dev + "/sdb rw\n" +
		"23 1 254:1 / /secret rw - xfs /dev/mapper/secret rw\n" +
		"24 1 65:16 / /other rw - ext4 " + k.dev + "/sdbb rw\n" +
		"25 1 8:1 / / rw - ext4 " + k.dev + "/sda1 rw\n" +
		"damaged\n"
	k.file("proc/self/mountinfo", mounts)
	k.link("ns/own", "proc/self/ns/mnt")
	k.file("proc/swaps", "Filename Type Size Used Priority\n"+k.dev+"/sdb1 partition 1 0 -2\n"+k.dev+"/sda2 partition 1 0 -3\n")

	k.file("proc/9/comm", "fsck.ext4\n")
	k.link("dev/sdb", "proc/9/fd/3")
	k.link("dev/sdb", "proc/9/fd/4")
	k.link("ns/own", "proc/9/ns/mnt")
	k.file("proc/9/mountinfo", mounts)
	k.file("proc/812/comm", "bad\x1bname\n")
	k.link("dev/sdb1", "proc/812/fd/3")
	k.link("dev/sdbb", "proc/812/fd/4")
	k.link("ns/other", "proc/812/ns/mnt")
	k.file("proc/812/mountinfo", "30 1 8:16 / /srv rw - ext4 "+k.dev+"/sdb rw\n")
	k.file("proc/813/comm", "child\n")
	k.link("ns/other", "proc/813/ns/mnt")
	k.file("proc/813/mountinfo", "30 1 8:16 / /srv rw - ext4 "+k.dev+"/sdb rw\n")
	k.file("proc/bus/x", "")

	want := []User{
		{How: "mounted on /mnt/my disk"},
		{How: "mounted on /mnt/btrfs"},
		{How: "mounted on /secret"},
		{How: "part of sdb"},
		{How: "part of device mapper's secret"},
		{How: "part of device mapper's vg-root"},
		{How: "swap space"},
		{How: "opened by fsck.ext4 (pid 9)", Open: true},
		{How: "opened by bad?name (pid 812)", Open: true},
		{How: "mounted on /srv for bad?name (pid 812)"},
	}
	if got := k.inUse("sdb"); !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestUnusedDiskIsNotInUse(t *testing.T) {
	k := newKernel(t)
	k.sysBlock("sdb", "8:16")
	for _, disk := range []string{"sdb", "sdz"} {
		if got := k.inUse(disk); got != nil {
			t.Errorf("%s: %v", disk, got)
		}
	}
}
