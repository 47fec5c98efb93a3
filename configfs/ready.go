package configfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// A feature is something that the kernel must have. Its presence is judged by
// sysfs, not by the result of modprobe.
type feature struct {
	module string
	option string // in the kernel's configuration
	sysfs  string // exists if the feature does
}

var (
	configFS   = feature{"configfs", "CONFIG_CONFIGFS_FS", "kernel/config"}
	targetCore = feature{"target_core_mod", "CONFIG_TARGET_CORE", "kernel/config/target"}
	targetUser = feature{"target_core_user", "CONFIG_TCM_USER2", "module/target_core_user"}

	// fabrics lists what each fabric, or kind of disk, needs besides the target.
	fabrics = map[string][]feature{
		"loopback": {
			{"tcm_loop", "CONFIG_LOOPBACK_TARGET", "bus/tcm_loop_bus"},
			{"sd_mod", "CONFIG_BLK_DEV_SD", "bus/scsi/drivers/sd"},
		},
		"cdrom": {{"sr_mod", "CONFIG_BLK_DEV_SR", "bus/scsi/drivers/sr"}}, // besides loopback
		"iscsi": {{"iscsi_target_mod", "CONFIG_ISCSI_TARGET", "module/iscsi_target_mod"}},
		"vhost": {{"vhost_scsi", "CONFIG_VHOST_SCSI", "module/vhost_scsi"}},
	}
)

// errNotRoot is the first check of all.
var errNotRoot = errors.New("only root may configure the kernel's targets; run it with sudo")

// Ready prepares the kernel for targets of these fabrics: "loopback", "iscsi",
// "vhost", and for local disks that are a "cdrom". It loads modules and mounts configfs
// if necessary, and leaves both in place. Its error names what is missing.
func Ready(names ...string) error {
	return host.ready(names...)
}

func (m machine) ready(names ...string) error {
	if m.euid() != 0 {
		return errNotRoot
	}
	if err := m.ensureConfigfs(); err != nil {
		return err
	}
	need := []feature{targetCore, targetUser}
	for _, name := range names {
		more, ok := fabrics[name]
		if !ok {
			return fmt.Errorf("%s: unknown fabric", name)
		}
		need = append(need, more...)
	}
	for _, f := range need {
		if err := m.ensure(f); err != nil {
			return err
		}
	}
	return nil
}

// ensureConfigfs mounts configfs unless it is mounted.
func (m machine) ensureConfigfs() error {
	dir := m.configfs()
	if m.isConfigfs(dir) {
		return nil
	}
	if err := m.ensure(configFS); err != nil {
		return err
	}
	// EBUSY means that another lunserve was faster.
	if err := m.mount(dir); err != nil && !m.isConfigfs(dir) {
		return hint.Try(fmt.Errorf("%s: mount: %w", dir, err), "mount", "-t", "configfs", "configfs", dir)
	}
	if !m.isConfigfs(dir) {
		return hint.Try(fmt.Errorf("%s: mounted, but not a configfs", dir), "mount", "-t", "configfs", "configfs", dir)
	}
	return nil
}

// ensure loads a feature unless it is present. The errors distinguish a kernel
// without the module from a module that does not load.
func (m machine) ensure(f feature) error {
	if m.has(f) {
		return nil
	}
	failed := m.modprobe(f.module)
	if m.has(f) {
		return nil
	}
	if err := m.checkBuilt(f); err != nil {
		return err
	}
	if failed != nil {
		return hint.Try(fmt.Errorf("%s is not loaded: %w", f.module, failed), "modprobe", f.module)
	}
	return hint.With(fmt.Errorf("%s is loaded, but %s does not exist", f.module, filepath.Join(m.sys, f.sysfs)), kernelLog)
}

// has reports whether the feature is present. sysfs may not show a feature that
// is built in.
func (m machine) has(f feature) bool {
	return exists(m.sys, f.sysfs) || strings.HasPrefix(f.sysfs, "module/") && m.builtin(f.module)
}

func (m machine) builtin(module string) bool {
	b, _ := os.ReadFile(filepath.Join(m.modules, m.release(), "modules.builtin"))
	return listsModule(string(b), module)
}

// listsModule reports whether a list of module files contains the module. In
// modules.dep a colon and dependencies follow each file. File names have dashes
// or underscores.
func listsModule(list, module string) bool {
	for line := range strings.Lines(list) {
		file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		if strings.ReplaceAll(name, "-", "_") == module {
			return true
		}
	}
	return false
}
