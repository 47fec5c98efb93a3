package configfs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/hint"
)

// healthy returns a kernel that has every feature, or can load it.
func healthy(t *testing.T) *kernel {
	k := ready(t)
	k.mount = func(string) error { t.Error("mounted"); return nil }
	k.file("lib/modules/6.1.0/modules.dep", "target_core_user.ko:\ntcm_loop.ko:\nsd_mod.ko:\niscsi_target_mod.ko:\nconfigfs.ko:\n")
	k.file("proc/self/uid_map", "         0          0 4294967295\n")
	k.file("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n")
	k.file("proc/self/mounts", "udev "+k.dev+" devtmpfs rw 0 0\n")
	k.file("run/udev/control", "")
	k.file("sys/bus/scsi/drivers/sr/x", "")
	k.file("etc/machine-id", "00112233445566778899aabbccddeeff\n")
	return k
}

// faults returns the findings with errors, one a line.
func faults(k *kernel) string {
	var b strings.Builder
	for _, f := range k.diagnose() {
		// The port is that of the machine that runs the test.
		if f.Err != nil && f.About != "127.0.0.1:3260" {
			fmt.Fprintf(&b, "%s: %s (minor: %v)\n", f.About, hint.Text(f.Err), f.Minor)
		}
	}
	return strings.ReplaceAll(b.String(), k.root, "ROOT")
}

func TestDiagnoseFindsNothingWrongAndChangesNothing(t *testing.T) {
	k := healthy(t)
	before := k.snapshot(t)
	if got := faults(k); got != "" {
		t.Error(got)
	}
	if k.snapshot(t) != before || len(k.ops) > 0 {
		t.Error("the machine was changed")
	}
}

func TestDiagnoseDescribesTheState(t *testing.T) {
	k := healthy(t)
	k.gone("sys/bus/tcm_loop_bus")
	k.file("proc/812/comm", "tcmu-runner\n")
	want := map[string]string{
		"target_core_user": "loaded",
		"tcm_loop":         "a module, will be loaded",
		"vhost_scsi":       "built in",
		"tcmu-runner":      `running (pid 812); ignores lunserve's disks, and for each the kernel logs "could not find device"`,
	}
	for _, f := range k.diagnose() {
		if is, ok := want[f.About]; ok && f.Is != is {
			t.Errorf("%s %s, want %s", f.About, f.Is, is)
		}
	}
}

func TestDiagnoseExplainsFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kernel func(k *kernel)
		want   string
	}{
		{"not root", func(k *kernel) { k.euid = func() int { return 1000 } },
			"root: only root may configure the kernel's targets; run it with sudo (minor: false)\n"},
		{"root of a user namespace", func(k *kernel) { k.file("proc/self/uid_map", "0 1000 1\n1 100000 65536\n") },
			"root: root only in a user namespace, which may not configure the kernel's targets; run it outside of the container (minor: false)\n"},
		{"not built", func(k *kernel) {
			k.gone("sys/module/target_core_user")
			k.file("lib/modules/6.1.0/modules.dep", "iscsi_target_mod.ko:\n")
		},
			"target_core_user: target_core_user is not built for kernel 6.1.0 (CONFIG_TCM_USER2); boot a kernel that has it, such as Debian's linux-image-amd64 (minor: false)\n"},
		{"no iSCSI", func(k *kernel) { k.file("lib/modules/6.1.0/modules.dep", "") },
			"iscsi_target_mod: iscsi_target_mod is not built for kernel 6.1.0 (CONFIG_ISCSI_TARGET); boot a kernel that has it, such as Debian's linux-image-amd64 (minor: true)\n"},
		{"no CD-ROMs", func(k *kernel) { k.gone("sys/bus/scsi/drivers/sr") },
			"sr_mod: sr_mod is not built for kernel 6.1.0 (CONFIG_BLK_DEV_SR); boot a kernel that has it, such as Debian's linux-image-amd64 (minor: true)\n"},
		{"no modprobe", func(k *kernel) {
			k.hasModprobe = func() bool { return false }
			k.file("sys/module/iscsi_target_mod/x", "")
			k.gone("sys/bus/tcm_loop_bus")
		},
			"tcm_loop: modprobe is not installed; try apt-get install kmod (minor: false)\n"},
		{"no capabilities", func(k *kernel) { k.file("proc/self/status", "CapEff:\t00000000a80425fb\n") },
			"iscsi_target_mod: root lacks CAP_SYS_MODULE to load modules; run it outside of the container (minor: true)\n"},
		{"no more modules", func(k *kernel) { k.file("proc/sys/kernel/modules_disabled", "1\n") },
			"iscsi_target_mod: module loading is disabled until the next reboot (kernel.modules_disabled) (minor: true)\n"},
		{"not to be mounted", func(k *kernel) {
			k.isConfigfs = func(string) bool { return false }
			k.file("proc/self/status", "CapEff:\t0000000000010000\n")
		}, "configfs: root lacks CAP_SYS_ADMIN to mount it on ROOT/sys/kernel/config; run it outside of the container (minor: false)\n"},
		{"static /dev", func(k *kernel) { k.file("proc/self/mounts", "tmpfs "+k.dev+" tmpfs rw 0 0\n") },
			"ROOT/dev: the kernel does not make device nodes here, such as uio0; run lunserve where ROOT/dev is a devtmpfs (minor: false)\n"},
		{"no machine-id", func(k *kernel) { k.gone("etc/machine-id") },
			"machine-id: none, so disks will have another serial number and WWN after the next boot; try systemd-machine-id-setup (minor: true)\n"},
		{"no machine-id, but firmware", func(k *kernel) {
			k.file("etc/machine-id", "uninitialized\n")
			k.file("sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-000700080009\n")
		}, "machine-id: none, so disks have another serial number and WWN if the host is renamed; try systemd-machine-id-setup (minor: true)\n"},
		{"no udev", func(k *kernel) { k.gone("run/udev") },
			"udev: not running, so there are no links in /dev/disk; try systemctl start systemd-udevd (minor: true)\n"},
	} {
		k := healthy(t)
		tt.kernel(k)
		if got := faults(k); got != tt.want {
			t.Errorf("%s: got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
