package inuse

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lunserve/lunserve/backstores/storetest/tmpfs"
)

// A fake is a View of files that the test made.
type fake struct {
	View
	root string
}

func newFake(t *testing.T) *fake {
	root := tmpfs.Dir(t)
	return &fake{View{Proc: root + "/proc", Sys: root + "/sys", Dev: root + "/dev"}, root}
}

func (f *fake) file(name, text string) {
	name = filepath.Join(f.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		panic(err)
	}
}

func (f *fake) link(to, name string) {
	name = filepath.Join(f.root, name)
	os.MkdirAll(filepath.Dir(name), 0o755)
	if err := os.Symlink(filepath.Join(f.root, to), name); err != nil {
		panic(err)
	}
}

// disk makes a disk with two partitions, with the links of sysfs.
func (f *fake) disk(name, dev string) {
	f.file("sys/devices/"+name+"/dev", dev+"\n")
	for _, p := range []string{"1", "2"} {
		f.file("sys/devices/"+name+"/"+name+p+"/dev", dev+p+"\n")
		f.file("sys/devices/"+name+"/"+name+p+"/partition", p+"\n")
		f.link("sys/devices/"+name+"/"+name+p, "sys/class/block/"+name+p)
	}
	f.link("sys/devices/"+name, "sys/class/block/"+name)
}

// stacked makes two disks, and on the second partition of the first an
// encrypted logical volume.
func stacked(t *testing.T) *fake {
	f := newFake(t)
	f.disk("sdb", "8:16")
	f.disk("sdbb", "65:16")
	f.file("sys/devices/dm-0/dev", "254:0\n")
	f.file("sys/devices/dm-0/dm/name", "vg-root\n")
	f.file("sys/devices/dm-1/dev", "254:1\n")
	f.file("sys/devices/dm-1/dm/name", "secret\n")
	f.link("sys/devices/dm-0", "sys/class/block/dm-0")
	f.link("sys/devices/dm-1", "sys/class/block/dm-1")
	f.link("sys/devices/dm-0", "sys/devices/sdb/sdb2/holders/dm-0")
	f.link("sys/devices/dm-1", "sys/devices/dm-0/holders/dm-1")
	f.link("sys/devices/sdb", "sys/devices/dm-1/holders/sdb") // a loop must not hang us
	return f
}

func TestEveryUserIsFound(t *testing.T) {
	f := stacked(t)
	mounts := "21 1 8:161 / /mnt/my\\040disk rw - ext4 " + f.Dev + "/sdb1 rw\n" +
		"22 1 0:45 / /mnt/btrfs rw shared:1 - btrfs " + f.Dev + "/sdb rw\n" +
		"23 1 254:1 / /secret rw - xfs /dev/mapper/secret rw\n" +
		"24 1 65:16 / /other rw - ext4 " + f.Dev + "/sdbb rw\n" +
		"25 1 8:1 / / rw - ext4 " + f.Dev + "/sda1 rw\n" +
		"damaged\n"
	f.file("proc/self/mountinfo", mounts)
	f.link("ns/own", "proc/self/ns/mnt")
	f.file("proc/swaps", "Filename Type Size Used Priority\n"+f.Dev+"/sdb1 partition 1 0 -2\n"+f.Dev+"/sda2 partition 1 0 -3\n"+f.Dev+"/sdb file 1 0 -4\n")

	f.file("proc/9/comm", "fsck.ext4\n")
	f.link("dev/sdb", "proc/9/fd/3")
	f.link("dev/sdb", "proc/9/fd/4")
	f.link("ns/own", "proc/9/ns/mnt")
	f.file("proc/9/mountinfo", mounts)
	f.file("proc/812/comm", "bad\x1bname\n")
	f.link("dev/sdb1", "proc/812/fd/3")
	f.link("dev/sdbb", "proc/812/fd/4")
	f.link("ns/other", "proc/812/ns/mnt")
	f.file("proc/812/mountinfo", "30 1 8:16 / /srv rw - ext4 "+f.Dev+"/sdb rw\n")
	f.file("proc/813/comm", "child\n")
	f.link("ns/other", "proc/813/ns/mnt")
	f.file("proc/813/mountinfo", "30 1 8:16 / /srv rw - ext4 "+f.Dev+"/sdb rw\n")
	f.file("proc/bus/x", "")

	want := []User{
		{Kind: Mount, Where: "/mnt/my disk"},
		{Kind: Mount, Where: "/mnt/btrfs"},
		{Kind: Mount, Where: "/secret"},
		{Kind: Holder, Where: f.Dev + "/sdb"},
		{Kind: Holder, Where: f.Dev + "/mapper/secret"},
		{Kind: Holder, Where: f.Dev + "/mapper/vg-root"},
		{Kind: Swap, Where: f.Dev + "/sdb1"},
		{Kind: OpenedBy, PID: 9, Command: "fsck.ext4"},
		{Kind: OpenedBy, PID: 812, Command: "bad\x1bname"},
		{Kind: Mount, Where: "/srv", PID: 812, Command: "bad\x1bname"},
	}
	if got := f.Of(f.Dev + "/sdb"); !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

// What the kernel puts on a disk by other ways than holders and mounts of it.
func TestUsersInTheKernelAreFound(t *testing.T) {
	f := newFake(t)
	f.disk("sdb", "8:16")
	f.disk("sdc", "8:32")
	f.file("sys/devices/loop3/dev", "7:3\n")
	f.file("sys/devices/loop3/loop/backing_file", f.Dev+"/sdb\n")
	f.link("sys/devices/loop3", "sys/class/block/loop3")
	f.file("sys/devices/loop4/dev", "7:4\n")
	f.file("sys/devices/loop4/loop/backing_file", "/images/sdb\n") // a file of that name
	f.link("sys/devices/loop4", "sys/class/block/loop4")
	f.link("sys/devices/sdb/sdb1", "sys/fs/btrfs/uuid/devices/sdb1")
	f.link("sys/devices/sdc", "sys/fs/btrfs/uuid/devices/sdc")
	f.file("proc/self/mountinfo", "21 1 7:3 / /mnt/loop rw - ext4 "+f.Dev+"/loop3 rw\n"+
		"22 1 0:45 / /mnt/btrfs rw - btrfs "+f.Dev+"/sdc rw\n"+
		"23 1 8:1 / /mnt/xfs rw - xfs "+f.Dev+"/sda1 rw,attr2,logdev="+f.Dev+"/sdb2,noquota\n"+
		"24 1 7:4 / /mnt/other rw - ext4 "+f.Dev+"/loop4 rw\n")
	f.file("proc/fs/jbd2/sdb1/info", "")
	f.file("proc/fs/jbd2/sda1-8/info", "")
	f.file("sys/kernel/config/target/core/iblock_0/x/udev_path", f.Dev+"/sdb\n")
	f.file("sys/kernel/config/target/core/iblock_0/none/udev_path", "\n")
	f.file("sys/kernel/config/target/core/user_0/lunserve/udev_path", f.Dev+"/sdb\n")

	want := []User{
		{Kind: Mount, Where: "/mnt/loop"},
		{Kind: Mount, Where: "/mnt/btrfs"},
		{Kind: Mount, Where: "/mnt/xfs"},
		{Kind: Holder, Where: f.Dev + "/loop3"},
		{Kind: Kernel, Where: "a file system, as its journal"},
		{Kind: Kernel, Where: "the backstore iblock_0/x"},
	}
	if got := f.Of(f.Dev + "/sdb"); !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestUnusedDiskHasNoUsers(t *testing.T) {
	f := newFake(t)
	f.disk("sdb", "8:16")
	for _, disk := range []string{"sdb", "sdz"} {
		if got := f.Of(f.Dev + "/" + disk); got != nil {
			t.Errorf("%s: %v", disk, got)
		}
	}
}

func TestStackEndsWithTheDisk(t *testing.T) {
	f := stacked(t)
	var want []string
	for _, name := range []string{"dm-1", "dm-0", "sdb2", "sdb"} {
		want = append(want, f.Dev+"/"+name)
	}
	got := f.Stack(f.Dev + "/sdb")
	got = slices.DeleteFunc(got, func(node string) bool { return node == f.Dev+"/sdb1" }) // anywhere before the disk
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUsersReadAsSentences(t *testing.T) {
	for _, tt := range []struct {
		user User
		want string
		json string
	}{
		{User{Kind: Mount, Where: "/mnt/my\x1bdisk"}, "mounted on /mnt/my\x1bdisk", `{"kind":"mount","where":"/mnt/my\u001bdisk"}`},
		{User{Kind: Kernel}, "in use by the kernel", `{"kind":"kernel"}`},
		{User{Kind: Kernel, Where: "the backstore iblock_0/x"}, "used by the backstore iblock_0/x", `{"kind":"kernel","where":"the backstore iblock_0/x"}`},
		{User{Kind: Mount, Where: "/srv", PID: 7, Command: "nginx"}, "mounted on /srv for nginx (pid 7)", `{"kind":"mount","where":"/srv","pid":7,"command":"nginx"}`},
		{User{Kind: Swap, Where: "/dev/sdb1"}, "swap space", `{"kind":"swap","where":"/dev/sdb1"}`},
		{User{Kind: Holder, Where: "/dev/md0"}, "part of md0", `{"kind":"holder","where":"/dev/md0"}`},
		{User{Kind: Holder, Where: "/dev/mapper/vg-root"}, "part of mapper/vg-root", `{"kind":"holder","where":"/dev/mapper/vg-root"}`},
		{User{Kind: OpenedBy, PID: 812, Command: "fsck\x1b.ext4"}, "opened by fsck\x1b.ext4 (pid 812)", `{"kind":"process","pid":812,"command":"fsck\u001b.ext4"}`},
		{User{Kind: Initiator, Where: "iqn.2001-04.com.example:me"}, "used by iqn.2001-04.com.example:me", `{"kind":"initiator","where":"iqn.2001-04.com.example:me"}`},
		{User{Kind: VM, PID: 812, Command: "qemu"}, "used by qemu (pid 812)", `{"kind":"vm","pid":812,"command":"qemu"}`},
	} {
		if got := tt.user.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if got, err := json.Marshal(tt.user); err != nil || string(got) != tt.json {
			t.Errorf("JSON is %s, %v; want %s", got, err, tt.json)
		}
	}
}

func TestOnlyProcessesAndSessionsAreTransient(t *testing.T) {
	for kind, want := range map[Kind]bool{Mount: false, Swap: false, Holder: false, OpenedBy: true, Initiator: true, VM: true} {
		if got := (User{Kind: kind}).Transient(); got != want {
			t.Errorf("%s: transient is %v", kind, got)
		}
	}
}
