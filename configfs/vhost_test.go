package configfs

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/hint"
)

func oneVhost(k *kernel) error {
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		return err
	}
	v, err := k.newVhost(wwn)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	return errors.Join(v.AddLUN(0, d), v.Close(), d.Close())
}

func TestVhostIsMadeInThisOrder(t *testing.T) {
	k := iscsiKernel(t)
	before := k.snapshot(t)
	if err := oneVhost(k); err != nil {
		t.Fatal(err)
	}
	same(t, iscsiOps(k, "vhost/"+wwn), []string{
		"mkdir vhost/" + wwn,
		"mkdir TPG",
		`echo -n "` + wwn + `" > TPG/nexus`,
		"mkdir TPG/lun/lun_0",
		"link TPG/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"unlink TPG/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"rmdir TPG/lun/lun_0",
		"rmdir TPG",
		"rmdir vhost/" + wwn,
	})
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

func TestFailedVhostLeavesNothing(t *testing.T) {
	failAtEachStepOf(t, iscsiKernel, oneVhost)
}

func TestForeignVhostIsNotTouched(t *testing.T) {
	k := iscsiKernel(t)
	k.file("sys/kernel/config/target/vhost/"+wwn+"/tpgt_1/nexus", "x")
	before := k.snapshot(t)
	if err := oneVhost(k); !errors.Is(err, fs.ErrExist) {
		t.Errorf("newVhost() = %v", err)
	}
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

// The machine loses its disks and keeps the target.
func TestVhostHeldByMachineIsExplained(t *testing.T) {
	k := iscsiKernel(t)
	before := k.machine.before
	k.machine.before = func(verb, name string) error {
		if verb == "rmdir" && strings.HasSuffix(name, "/tpgt_1") {
			return unix.EBUSY
		}
		return before(verb, name)
	}
	err := oneVhost(k)
	vhost := k.configfs() + "/target/vhost"
	want := "; try rmdir " + vhost + "/" + wwn + "/tpgt_1 " + vhost + "/" + wwn + " " + vhost + " when the machine has ended"
	if err == nil || !strings.HasSuffix(hint.Text(err), want) {
		t.Errorf("Close() = %v", err)
	}
	if exists(k.configfs(), "target/core/user_0") {
		t.Error("the device still exists")
	}
}

func TestMachinesHaveTheWWNAndVhostOpen(t *testing.T) {
	k := iscsiKernel(t)
	v, err := k.newVhost(wwn)
	if err != nil {
		t.Fatal(err)
	}
	for pid, p := range map[string]struct{ opened, args string }{
		"10": {k.dev + "/vhost-scsi", "qemu\x00-device\x00vhost-scsi-pci,wwpn=" + wwn + "\x00"},
		"11": {k.dev + "/vhost-scsi", "qemu\x00-device\x00vhost-scsi-pci,wwpn=naa.5001405000000000\x00"},
		"12": {k.dev + "/null", "grep\x00" + wwn + "\x00"},
	} {
		k.file("proc/"+pid+"/comm", "qemu-system-x86\n")
		k.file("proc/"+pid+"/cmdline", p.args)
		k.file("proc/"+pid+"/fd/x", "")
		if err := os.Symlink(p.opened, k.proc+"/"+pid+"/fd/3"); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := v.tree.machines(v.wwn), []inuse.Process{{PID: 10, Command: "qemu-system-x86"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
