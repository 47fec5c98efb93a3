package configfs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

const wwn = "naa.5001405123456789"

// disks makes a target with two disks, as lunserve does.
func disks(ctx context.Context, k *kernel) (d [2]*Device, l *Loopback, nodes []string, err error) {
	l, err = k.newLoopback(wwn, false)
	if err != nil {
		return d, nil, nil, err
	}
	for i, id := range []string{"0000000a", "0000000b"} {
		if d[i], err = k.newDevice(spec, id); err != nil {
			return d, l, nodes, err
		}
		node, err := l.AddLUN(ctx, i, d[i])
		if err != nil {
			return d, l, nodes, err
		}
		nodes = append(nodes, node)
	}
	return d, l, nodes, nil
}

func closeAll(d [2]*Device, l *Loopback) (err error) {
	if l != nil {
		err = l.Close()
	}
	for _, d := range d {
		if d != nil {
			err = errors.Join(err, d.Close())
		}
	}
	return err
}

func TestLoopbackIsMadeInThisOrder(t *testing.T) {
	k := newKernel(t)
	before := k.snapshot(t)
	d, l, nodes, err := disks(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	same(t, nodes, []string{k.dev + "/sdb", k.dev + "/sdc"})
	var ops []string
	for _, op := range k.ops {
		if strings.Contains(op, "loopback") {
			ops = append(ops, op)
		}
	}
	const tpg = "loopback/" + wwn + "/tpgt_1"
	same(t, ops, []string{
		"mkdir loopback",
		"mkdir loopback/" + wwn,
		"mkdir " + tpg,
		`echo -n "` + wwn + `" > ` + tpg + "/nexus",
		"mkdir " + tpg + "/lun/lun_0",
		"link " + tpg + "/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"mkdir " + tpg + "/lun/lun_1",
		"link " + tpg + "/lun/lun_1/lunserve-my_disk_1.img-0000000b",
	})
	link := k.configfs() + "/target/" + tpg + "/lun/lun_1/lunserve-my_disk_1.img-0000000b"
	if to, err := os.Readlink(link); to != k.configfs()+"/target/"+d[1].name {
		t.Errorf("the LUN links to %s, %v", to, err)
	}

	k.ops = nil
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	same(t, k.ops, []string{
		"unlink " + tpg + "/lun/lun_1/lunserve-my_disk_1.img-0000000b",
		"rmdir " + tpg + "/lun/lun_1",
		"unlink " + tpg + "/lun/lun_0/lunserve-my_disk_1.img-0000000a",
		"rmdir " + tpg + "/lun/lun_0",
		"rmdir " + tpg,
		"rmdir loopback/" + wwn,
		"rmdir loopback",
	})
	if err := closeAll(d, nil); err != nil {
		t.Error(err)
	}
	if after := k.snapshot(t); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
}

func TestFailedLoopbackLeavesNothing(t *testing.T) {
	failAtEachStep(t, func(k *kernel) error {
		d, l, _, err := disks(t.Context(), k)
		return errors.Join(err, closeAll(d, l))
	})
}

func TestForeignTargetIsNotTouched(t *testing.T) {
	k := newKernel(t)
	k.file("sys/kernel/config/target/loopback/"+wwn+"/x", "")
	before := k.snapshot(t)
	if _, err := k.newLoopback(wwn, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("newLoopback() = %v", err)
	}
	if k.snapshot(t) != before {
		t.Error("the target was changed")
	}
}

// The link is made even if the kernel finds no disk behind it.
func TestDiskThatDoesNotRespondIsAnErrorAtOnce(t *testing.T) {
	k := newKernel(t)
	k.noDisk = true
	d, l, _, err := disks(t.Context(), k)
	if err == nil || !strings.Contains(err.Error(), "/bus/scsi/devices/2:0:1:0: the kernel probed for a disk and found none") {
		t.Errorf("AddLUN() = %v", err)
	}
	if err := closeAll(d, l); err != nil {
		t.Error(err)
	}
}

func TestMissingNodeIsAnError(t *testing.T) {
	k := newKernel(t)
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := k.newLoopback(wwn, false)
	if err != nil {
		t.Fatal(err)
	}
	k.noNode = true
	if _, err := l.AddLUN(t.Context(), 0, d); err == nil || !strings.Contains(err.Error(), "/dev/sdb: ") || !strings.HasSuffix(hint.Text(err), "; run lunserve where "+k.dev+" is a devtmpfs") {
		t.Errorf("AddLUN() = %v", err)
	}
}

func TestWaitForDiskEndsWithTheContext(t *testing.T) {
	k := newKernel(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("interrupted")
	k.onWait = func() { k.uevents = nil; cancel(gone) }
	d, l, _, err := disks(ctx, k)
	if !errors.Is(err, gone) || !strings.Contains(err.Error(), "2:0:1:0") {
		t.Errorf("AddLUN() = %v", err)
	}
	if err := closeAll(d, l); err != nil {
		t.Error(err)
	}
}

// The disk is offline before the ring is reset. A ring that is not served
// completes no flush, so none is requested.
func TestResetTakesDisksOffline(t *testing.T) {
	k := newKernel(t)
	d, l, _, err := disks(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	const scsi = "sys/bus/scsi/devices/2:0:1:1/"
	k.refuse = func(verb, name string) bool {
		if strings.HasSuffix(name, "block_dev") && k.read(scsi+"state") != "offline\n" {
			t.Error("the ring is blocked before the disk is offline")
		}
		if verb == "unlink" && strings.Contains(name, "lun_1") {
			if got := k.read(scsi + "scsi_disk/2:0:1:1/cache_type"); got != "temporary write through" {
				t.Errorf("the kernel is left to flush a %s cache", got)
			}
		}
		return false
	}
	if err := d[1].Reset(); err != nil {
		t.Error(err)
	}
	if got := k.read("sys/bus/scsi/devices/2:0:1:0/state"); got != "running\n" {
		t.Errorf("the other disk is %s", got)
	}
	if err := closeAll(d, l); err != nil {
		t.Error(err)
	}
}

// Another disk may already have the address of a removed one.
func TestResetAfterCloseTouchesNoDisk(t *testing.T) {
	k := newKernel(t)
	d, l, _, err := disks(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	k.refuse = func(verb, name string) bool {
		if verb == "rmdir" && name == "loopback/"+wwn {
			for i, address := range []string{"2:0:1:0", "2:0:1:1"} {
				k.file("sys/bus/scsi/devices/"+address+"/state", "running\n")
				if err := d[i].Reset(); err != nil {
					t.Error(err)
				}
			}
		}
		return false
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"2:0:1:0", "2:0:1:1"} {
		if got := k.read("sys/bus/scsi/devices/" + address + "/state"); got != "running\n" {
			t.Errorf("%s is %s", address, got)
		}
	}
	if err := closeAll(d, nil); err != nil {
		t.Error(err)
	}
	for i := range d {
		if err := d[i].Reset(); err != nil {
			t.Errorf("of a device that is gone: %v", err)
		}
	}
}

// While the kernel probes a disk, it has no state to set.
func TestResetEndsTheProbe(t *testing.T) {
	k := newKernel(t)
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := k.newLoopback(wwn, false)
	if err != nil {
		t.Fatal(err)
	}
	k.refuse = func(verb, name string) bool {
		if verb == "link" {
			k.noDisk = true
			if err := d.Reset(); err != nil {
				t.Error(err)
			}
		}
		return false
	}
	if _, err := l.AddLUN(t.Context(), 0, d); err == nil {
		t.Error("there is a disk")
	}
	if got := k.read("sys/kernel/config/target/" + l.tpg + "/transport_status"); got != "offline" {
		t.Errorf("the transport is %q", got)
	}
}

// sdb is the devpath of the first disk.
const sdb = "/devices/tcm_loop_0/tcm_loop_adapter_3/host2/target2:0:1/2:0:1:0/block/sdb"

// The kernel announces no disk that it cannot read.
func TestResetEndsTheWaitForTheDisk(t *testing.T) {
	k := newKernel(t)
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := k.newLoopback(wwn, false)
	if err != nil {
		t.Fatal(err)
	}
	k.onWait = func() {
		k.uevents = nil
		if err := d.Reset(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.AddLUN(t.Context(), 0, d); !errors.Is(err, errNotServed) {
		t.Errorf("AddLUN() = %v", err)
	}
	if err := closeAll([2]*Device{d}, l); err != nil {
		t.Error(err)
	}
}

// udev makes links and reads labels after the kernel has announced the disk.
func TestAddLUNWaitsForUdev(t *testing.T) {
	for _, order := range [][]string{{"/sdb2", "", "/sdb1"}, {"/sdb2", "/sdb1", ""}} {
		k := newKernel(t)
		k.file("run/udev/control", "")
		todo := order
		k.onWait = func() {
			if len(k.uevents) == 0 && len(todo) > 0 {
				k.uevents = append(k.uevents, uevent{udev: true, action: "add", devpath: sdb + todo[0]})
				todo = todo[1:]
			}
		}
		if err := oneDisk(t.Context(), k); err != nil {
			t.Error(err)
		}
		if len(todo) != 0 {
			t.Errorf("ready when udev had to do %q", todo)
		}
	}
}

// Only the uevents that may be lost are repeated.
func TestLostUeventsOfUdevAreRepeated(t *testing.T) {
	k := newKernel(t)
	k.file("run/udev/control", "")
	todo := []string{"", "/sdb2", "missed", "/sdb1"}
	k.onWait = func() {
		switch {
		case len(k.uevents) > 0 || len(todo) == 0:
			return
		case todo[0] == "missed":
			k.lost = true
		case todo[0] == "/sdb1" && k.read("sys"+sdb+"/sdb1/uevent") != "change":
			t.Error("the kernel was not asked for it")
			fallthrough
		default:
			k.uevents = append(k.uevents, uevent{udev: true, action: "add", devpath: sdb + todo[0]})
		}
		todo = todo[1:]
	}
	if err := oneDisk(t.Context(), k); err != nil {
		t.Error(err)
	}
	for _, done := range []string{"", "/sdb2"} {
		if k.read("sys"+sdb+done+"/uevent") != "" {
			t.Errorf("the kernel was asked for sdb%s again", done)
		}
	}
}

func TestWaitForUdevTimesOut(t *testing.T) {
	k := newKernel(t)
	synctest.Test(t, func(t *testing.T) {
		k.file("run/udev/control", "")
		began := time.Now()
		if err := oneDisk(t.Context(), k); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited != udevTimeout {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestWaitForDiskTimesOut(t *testing.T) {
	k := newKernel(t)
	synctest.Test(t, func(t *testing.T) {
		k.onWait = func() { k.uevents = nil }
		if err := oneDisk(t.Context(), k); !errors.Is(err, errNotAnnounced) || !strings.Contains(err.Error(), "2:0:1:0") {
			t.Errorf("AddLUN() = %v", err)
		}
	})
}

func TestWaitForUdevEndsWithTheContext(t *testing.T) {
	k := newKernel(t)
	k.file("run/udev/control", "")
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("interrupted")
	k.onWait = func() {
		if len(k.uevents) == 0 {
			cancel(gone)
		}
	}
	if err := oneDisk(ctx, k); !errors.Is(err, gone) {
		t.Errorf("AddLUN() = %v", err)
	}
}

// oneDisk makes a target with one disk and removes it.
func oneDisk(ctx context.Context, k *kernel) error {
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		return err
	}
	defer d.Close()
	l, err := k.newLoopback(wwn, false)
	if err != nil {
		return err
	}
	_, err = l.AddLUN(ctx, 0, d)
	return errors.Join(err, l.Close(), d.Close())
}

func TestLostUeventsOfTheKernelAreRepeated(t *testing.T) {
	k := newKernel(t)
	k.lost = true
	k.onWait = func() {
		if !k.lost && k.read("sys/bus/scsi/devices/2:0:1:0/block/sdb/uevent") == "" {
			k.uevents = nil // lost
		}
	}
	asked := ""
	k.refuse = func(verb, name string) bool {
		if verb == "unlink" {
			asked = k.read("sys/bus/scsi/devices/2:0:1:0/block/sdb/uevent")
		}
		return false
	}
	if err := oneDisk(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if got := asked; got != "change" {
		t.Errorf("the kernel was asked for %q", got)
	}
}

// unflushable replaces the node of a disk by one that cannot be flushed.
func unflushable(t *testing.T, k *kernel, node string) {
	t.Helper()
	if err := errors.Join(os.Remove(node), unix.Mkfifo(node, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestCloseReturnsFlushErrors(t *testing.T) {
	k := newKernel(t)
	before := k.snapshot(t)
	d, l, nodes, err := disks(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	unflushable(t, k, nodes[0])
	err = closeAll(d, l)
	if err == nil || !strings.HasPrefix(err.Error(), nodes[0]+": flush: ") {
		t.Errorf("Close() = %v", err)
	}
	if k.snapshot(t) != before {
		t.Error("objects are left")
	}
}

func TestDiskIsNotFlushedAfterReset(t *testing.T) {
	k := newKernel(t)
	d, l, nodes, err := disks(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	unflushable(t, k, nodes[0])
	if err := errors.Join(d[0].Reset(), closeAll(d, l)); err != nil {
		t.Error(err)
	}
}

func TestFlushIncludesPartitions(t *testing.T) {
	k := newKernel(t)
	for _, name := range []string{"sdb1", "sdb2"} {
		k.file("sys/devices/sdb/"+name+"/partition", "")
		k.symlink("sys/devices/sdb/"+name, "sys/class/block/"+name)
	}
	k.symlink("sys/devices/sdb", "sys/class/block/sdb")
	k.file("dev/sdb", "")
	k.file("dev/sdb1", "")
	if err := k.flush(k.dev + "/sdb"); err != nil {
		t.Error(err) // missing nodes are accepted
	}
	if err := unix.Mkfifo(k.dev+"/sdb2", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.flush(k.dev + "/sdb"); err == nil || !strings.Contains(err.Error(), "/dev/sdb2: flush: ") {
		t.Errorf("flush() = %v", err)
	}
}
