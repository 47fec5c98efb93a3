package configfs

import (
	"path"
	"reflect"
	"testing"
)

// A dead server's initiators are users, too. The kernel knows them.
func TestAccessDoesNotNeedAServer(t *testing.T) {
	k := iscsiKernel(t)
	portal, _ := serveEverywhere(t, k)
	const tpg = "sys/kernel/config/target/iscsi/" + iqn + "/tpgt_1"
	k.file(tpg+"/dynamic_sessions", "iqn.2001-04.com.example:other\n\x00")
	k.file(tpg+"/acls/iqn.2001-04.com.example:me/info", "InitiatorName: iqn.2001-04.com.example:me\n")
	k.gone("proc")
	k.file("proc/77/cmdline", "qemu\x00-device\x00vhost-scsi-pci,wwpn="+wwn)
	k.file("proc/77/comm", "qemu\n")
	k.file("dev/vhost-scsi", "")
	k.symlink("dev/vhost-scsi", "proc/77/fd/5")
	got := make(map[string]Access)
	for _, a := range k.access(onlyExport(t, k).device) {
		got[a.Fabric] = a
	}
	if a := got["iscsi"]; a.Target != iqn || len(a.Portals) != 1 || a.Portals[0] != portal ||
		!reflect.DeepEqual(a.Initiators, []string{"iqn.2001-04.com.example:me", "iqn.2001-04.com.example:other"}) {
		t.Errorf("iSCSI: %+v", a)
	}
	if a := got["vhost"]; a.Target != wwn || len(a.Machines) != 1 || a.Machines[0].PID != 77 {
		t.Errorf("vhost: %+v", a)
	}
	if a := got["loopback"]; path.Base(a.Target) != wwn || a.Number != 1 || a.Initiators != nil {
		t.Errorf("loopback: %+v", a)
	}
}
