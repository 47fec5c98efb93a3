package configfs

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// ready returns a kernel with the features that loopback needs, except missing.
func ready(t *testing.T, missing ...string) *kernel {
	k := newKernel(t)
	k.file("lib/modules/6.1.0/modules.dep", `kernel/drivers/target/target_core_mod.ko.xz: kernel/fs/configfs/configfs.ko.xz
kernel/drivers/target/target_core_user.ko.xz: kernel/drivers/target/target_core_mod.ko.xz
kernel/drivers/target/loopback/tcm_loop.ko.xz: kernel/drivers/target/target_core_mod.ko.xz
kernel/drivers/scsi/sd_mod.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz
`)
	k.file("lib/modules/6.1.0/modules.builtin", "kernel/drivers/vhost/vhost-scsi.ko\n")
	for _, sign := range []string{"module/target_core_user/x", "bus/tcm_loop_bus/x", "bus/scsi/drivers/sd/x"} {
		if !slices.ContainsFunc(missing, func(m string) bool { return strings.HasPrefix(sign, m) }) {
			k.file("sys/"+sign, "")
		}
	}
	k.modprobe = func(module string) error {
		t.Errorf("modprobe %s", module)
		return nil
	}
	return k
}

func TestReadyKernelIsLeftAlone(t *testing.T) {
	k := ready(t)
	k.mount = func(string) error { t.Error("mounted"); return nil }
	if err := k.ready("loopback", "vhost"); err != nil {
		t.Error(err)
	}
}

func TestReadyLoadsWhatIsMissing(t *testing.T) {
	k := ready(t, "module/", "bus/tcm_loop_bus")
	var loaded []string
	k.modprobe = func(module string) error {
		loaded = append(loaded, module)
		k.file("sys/module/"+module+"/x", "")
		if module == "tcm_loop" {
			k.file("sys/bus/tcm_loop_bus/x", "")
		}
		return errors.New("exit status 1") // what counts is the feature
	}
	if err := k.ready("loopback"); err != nil {
		t.Error(err)
	}
	same(t, loaded, []string{"target_core_user", "tcm_loop"})
}

func TestReadyExplainsFaults(t *testing.T) {
	cannot := errors.New("could not insert 'tcm_loop': Key was rejected by service")
	for _, tt := range []struct {
		name    string
		kernel  func(k *kernel)
		missing string
		fabric  string
		want    string
	}{
		{name: "not root", kernel: func(k *kernel) { k.euid = func() int { return 1000 } },
			want: "only root may configure the kernel's targets; run it with sudo"},
		{name: "not loaded", missing: "bus/tcm_loop_bus", kernel: func(k *kernel) { k.modprobe = func(string) error { return cannot } },
			want: "tcm_loop is not loaded: could not insert 'tcm_loop': Key was rejected by service; try modprobe tcm_loop"},
		{name: "not built", missing: "module/target_core_user", kernel: func(k *kernel) {
			k.file("lib/modules/6.1.0/modules.dep", "kernel/drivers/target/xtarget_core_user.ko:\n")
			k.modprobe = func(string) error { return cannot }
		}, want: "target_core_user is not built for kernel 6.1.0 (CONFIG_TCM_USER2); boot a kernel that has it, such as Debian's linux-image-amd64"},
		{name: "not built, says a silent modprobe", fabric: "iscsi", kernel: func(k *kernel) { k.modprobe = func(string) error { return nil } },
			want: "iscsi_target_mod is not built for kernel 6.1.0 (CONFIG_ISCSI_TARGET); boot a kernel that has it, such as Debian's linux-image-amd64"},
		{name: "no modules at all", missing: "bus/scsi/drivers/sd", kernel: func(k *kernel) {
			k.gone("lib/modules/6.1.0")
			k.modprobe = func(string) error { return cannot }
		}, want: "sd_mod is not loaded, and ROOT/lib/modules/6.1.0 has no modules for the running kernel; load it on the host of this container, or boot a kernel that has modules here"},
		{name: "the kernel was upgraded", missing: "bus/scsi/drivers/sd", kernel: func(k *kernel) {
			k.gone("lib/modules/6.1.0")
			k.file("lib/modules/6.1.1/modules.dep", "kernel/drivers/scsi/sd_mod.ko:\n")
			k.file("lib/modules/6.1.2/modules.dep", "")
			k.modprobe = func(string) error { return cannot }
		}, want: "sd_mod is not loaded, and ROOT/lib/modules/6.1.0 has no modules for the running kernel; reboot into 6.1.1"},
		{name: "modules of Ubuntu in a package of their own", missing: "bus/tcm_loop_bus", kernel: func(k *kernel) {
			k.file("lib/modules/6.1.0/modules.dep", "")
			k.file("etc/os-release", "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n")
			k.modprobe = func(string) error { return cannot }
		}, want: "tcm_loop is not installed for kernel 6.1.0; try apt-get install linux-modules-extra-6.1.0"},
		{name: "loaded to no avail", missing: "bus/tcm_loop_bus", kernel: func(k *kernel) { k.modprobe = func(string) error { return nil } },
			want: "tcm_loop is loaded, but ROOT/sys/bus/tcm_loop_bus does not exist; try dmesg | tail"},
		{name: "built in, but shows nothing", missing: "bus/tcm_loop_bus", kernel: func(k *kernel) {
			k.file("lib/modules/6.1.0/modules.dep", "")
			k.file("lib/modules/6.1.0/modules.builtin", "kernel/drivers/target/loopback/tcm_loop.ko\n")
			k.modprobe = func(string) error { return nil }
		}, want: "tcm_loop is loaded, but ROOT/sys/bus/tcm_loop_bus does not exist; try dmesg | tail"},
		{name: "configfs cannot be mounted", kernel: func(k *kernel) {
			k.isConfigfs = func(string) bool { return false }
			k.mount = func(string) error { return errors.New("operation not permitted") }
		}, want: "ROOT/sys/kernel/config: mount: operation not permitted; try mount -t configfs configfs ROOT/sys/kernel/config"},
		{name: "no configfs", kernel: func(k *kernel) {
			k.isConfigfs = func(string) bool { return false }
			k.gone("sys/kernel/config")
			k.modprobe = func(string) error { return cannot }
		}, want: "configfs is not built for kernel 6.1.0 (CONFIG_CONFIGFS_FS); boot a kernel that has it, such as Debian's linux-image-amd64"},
		{name: "no target", kernel: func(k *kernel) {
			k.gone("sys/kernel/config/target")
			k.modprobe = func(string) error { return nil }
		}, want: "target_core_mod is loaded, but ROOT/sys/kernel/config/target does not exist; try dmesg | tail"},
		{name: "no such fabric", fabric: "floppy", want: "floppy: unknown fabric"},
	} {
		k := ready(t, "nothing")
		if tt.missing != "" {
			k = ready(t, tt.missing)
		}
		if tt.kernel != nil {
			tt.kernel(k)
		}
		fabric := tt.fabric
		if fabric == "" {
			fabric = "loopback"
		}
		err := k.ready(fabric)
		if err == nil || strings.ReplaceAll(hint.Text(err), k.root, "ROOT") != tt.want {
			t.Errorf("%s: got %v\nwant %s", tt.name, err, tt.want)
		}
	}
}

func TestReadyMountsConfigfs(t *testing.T) {
	k := ready(t)
	mounted := false
	k.isConfigfs = func(dir string) bool { return mounted && dir == k.root+"/sys/kernel/config" }
	k.mount = func(string) error { mounted = true; return nil }
	if err := k.ready("loopback"); err != nil || !mounted {
		t.Error(mounted, err)
	}
}

// If two lunserves start at the same time, one mounts configfs first.
func TestConfigfsMountedMeanwhileIsAccepted(t *testing.T) {
	k := ready(t)
	mounted := false
	k.isConfigfs = func(string) bool { return mounted }
	k.mount = func(string) error { mounted = true; return unix.EBUSY }
	if err := k.ready("loopback"); err != nil {
		t.Error(err)
	}
}
