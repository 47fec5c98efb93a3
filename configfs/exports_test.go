package configfs

import (
	"errors"
	"net/netip"
	"os"
	"path"
	"reflect"
	"slices"
	"testing"
)

// serveEverywhere makes an image a LUN on all fabrics. Down removes everything.
func serveEverywhere(t *testing.T, k *kernel) (portal netip.AddrPort, down func() error) {
	t.Helper()
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := k.newLoopback(wwn, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddLUN(t.Context(), 1, d); err != nil {
		t.Fatal(err)
	}
	portal = freePortal(t, "[::1]")
	i, err := k.newISCSI(ISCSISpec{IQN: iqn, Portals: []netip.AddrPort{portal}, Allow: []string{"iqn.2001-04.com.example:me"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(i.AddLUN(0, d), i.Enable()); err != nil {
		t.Fatal(err)
	}
	v, err := k.newVhost(wwn)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.AddLUN(0, d); err != nil {
		t.Fatal(err)
	}
	return portal, func() error { return errors.Join(v.Close(), i.Close(), l.Close(), d.Close()) }
}

// onlyExport returns the only export that exists.
func onlyExport(t *testing.T, k *kernel) Export {
	t.Helper()
	list, err := k.exports()
	if err != nil || len(list) != 1 {
		t.Fatalf("exports() = %+v, %v", list, err)
	}
	return list[0]
}

func TestExportHasAllAttributesOfItsImage(t *testing.T) {
	k := iscsiKernel(t)
	_, down := serveEverywhere(t, k)
	e := onlyExport(t, k)
	if got, want := k.attachments(e.device), []attachment{
		{lun: "iscsi/" + iqn + "/tpgt_1/lun/lun_0"},
		{lun: "loopback/" + wwn + "/tpgt_1/lun/lun_1", scsi: k.sys + "/bus/scsi/devices/2:0:1:1"},
		{lun: "vhost/" + wwn + "/tpgt_1/lun/lun_0"},
	}; !slices.Equal(got, want) {
		t.Errorf("attachments are %+v, want %+v", got, want)
	}
	e.device, e.server = "", process{}
	if want := (Export{
		Name: "my_disk_1.img-0000000a", Image: spec.Image, PID: os.Getpid(), Alive: true,
		UIO: k.dev + "/uio7", Size: spec.Size, Nodes: []string{k.dev + "/sdc"}, Serial: spec.Serial,
		LUNs: []LUN{{"iscsi", iqn, 0}, {"loopback", wwn, 1}, {"vhost", wwn, 0}},
	}); !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
	if err := down(); err != nil {
		t.Error(err)
	}
	if list, err := k.exports(); len(list) != 0 || err != nil {
		t.Errorf("at the end exports() = %+v, %v", list, err)
	}
}

// A device that was just made has no mark yet, and its HBA has one.
func TestExportWithoutAMarkIsOfTheOwnerOfItsHBA(t *testing.T) {
	k := newKernel(t)
	k.machine.before = func(verb, name string) error {
		if path.Base(name) == "alias" {
			panic("killed")
		}
		return nil
	}
	func() {
		defer func() { recover() }()
		k.newDevice(spec, "0000000a")
	}()
	if e := onlyExport(t, k); e.PID != k.self().pid || !e.Alive {
		t.Errorf("%+v", e)
	}
	k.gone("proc")
	e := onlyExport(t, k)
	if e.PID != os.Getpid() || e.Alive {
		t.Errorf("killed: %+v", e)
	}
	k.machine.before = k.before
	if err := k.remove(e); err != nil || exists(k.configfs(), "target/core/user_0") {
		t.Errorf("it is left: %v", err)
	}
}

func TestThereAreNoExportsWithoutATarget(t *testing.T) {
	k := newKernel(t)
	for _, gone := range []string{"sys/kernel/config/target/core", "sys/kernel/config/target", "sys/kernel/config"} {
		k.gone(gone)
		if list, err := k.exports(); len(list) != 0 || err != nil {
			t.Errorf("without %s: %+v, %v", gone, list, err)
		}
	}
}

func TestForeignDevicesAreNotExports(t *testing.T) {
	k := newKernel(t)
	for _, dev := range []string{"core/user_0/disk", "core/fileio_0/lunserve-disk-0000000a", "core/alua/lunserve-x"} {
		k.file("sys/kernel/config/target/"+dev+"/udev_path", "x")
	}
	k.file("sys/kernel/config/target/core/user_1/lunserve-going-0000000a/enable", "") // without what else it has
	if list, err := k.exports(); len(list) != 0 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestExportIsAliveAsLongAsItsProcessServes(t *testing.T) {
	k := newKernel(t)
	if _, err := k.newDevice(spec, "0000000a"); err != nil {
		t.Fatal(err)
	}
	pid := os.Getpid()
	for _, tt := range []struct {
		name  string
		show  func()
		alive bool
	}{
		{"running", func() {
			k.process(pid, 4711, "State:\tS (sleeping)\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000002\n")
		}, true},
		{"stuck in the kernel", func() { k.process(pid, 4711, "State:\tD (disk sleep)\nSigPnd:\t0000000000004000\n") }, true},
		{"killed and stuck in the kernel", func() { k.process(pid, 4711, "State:\tD (disk sleep)\nSigPnd:\t0000000000000100\n") }, false},
		{"killed, seen by all threads", func() {
			k.process(pid, 4711, "State:\tR (running)\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000102\n")
		}, false},
		{"not yet waited for", func() { k.process(pid, 4711, "State:\tZ (zombie)\n") }, false},
		{"its id another's", func() { k.process(pid, 4712, "State:\tS (sleeping)\n") }, false},
		{"gone", func() { k.gone("proc") }, false},
	} {
		tt.show()
		if e := onlyExport(t, k); e.Alive != tt.alive || e.PID != pid {
			t.Errorf("%s: alive is %v", tt.name, e.Alive)
		}
	}
}

// Without a start time there is nothing to compare.
func TestProcessWithoutStartTimeMatchesByID(t *testing.T) {
	k := newKernel(t)
	if p := parseProcess("lunserve pid 812"); k.runs(p) {
		t.Errorf("%v is there", p)
	}
	k.process(812, 5, "")
	if p := parseProcess("lunserve pid 812"); !k.runs(p) {
		t.Errorf("%v is not there", p)
	}
}

// In a container, proc may show another process id than getpid returns. Other
// processes compare the one that proc shows.
func TestTargetsAndDevicesHaveTheSameOwner(t *testing.T) {
	k := newKernel(t)
	k.process(4242, 17, "")
	if err := os.Symlink("4242", k.proc+"/self"); err != nil {
		t.Fatal(err)
	}
	d, err := k.newDevice(spec, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := k.newLoopback(wwn, false)
	if err != nil {
		t.Fatal(err)
	}
	if owner, e := l.tree.ownerPID("loopback/"+wwn), onlyExport(t, k); owner != 4242 || e.PID != 4242 || !e.Alive {
		t.Errorf("the target is owned by %d, the device by %d, alive %v", owner, e.PID, e.Alive)
	}
	if err := closeAll([2]*Device{d}, l); err != nil {
		t.Error(err)
	}
}
