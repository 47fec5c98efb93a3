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

// A feature is something the kernel must have, tested for by what it shows when
// it has it and not by how loading it went.
type feature struct {
	module string
	option string // of the kernel's configuration
	sysfs  string // in sysfs
}

var (
	configFS   = feature{"configfs", "CONFIG_CONFIGFS_FS", "kernel/config"}
	targetCore = feature{"target_core_mod", "CONFIG_TARGET_CORE", "kernel/config/target"}
	targetUser = feature{"target_core_user", "CONFIG_TCM_USER2", "module/target_core_user"}

	// fabrics are the ways to an initiator, and what each needs besides.
	fabrics = map[string][]feature{
		"loopback": {
			{"tcm_loop", "CONFIG_LOOPBACK_TARGET", "bus/tcm_loop_bus"},
			{"sd_mod", "CONFIG_BLK_DEV_SD", "bus/scsi/drivers/sd"},
		},
		"iscsi": {{"iscsi_target_mod", "CONFIG_ISCSI_TARGET", "module/iscsi_target_mod"}},
		"vhost": {{"vhost_scsi", "CONFIG_VHOST_SCSI", "module/vhost_scsi"}},
	}
)

// errNotRoot names the one requirement that all others depend on.
var errNotRoot = errors.New("only root may change the kernel's targets; run it with sudo")

// Ready returns nil if targets of these fabrics ("loopback", "iscsi", "vhost")
// can be made here, for which it loads modules and mounts configfs if need be;
// else an error that says what is missing. What it loaded and mounted stays.
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
			return fmt.Errorf("%s: no such fabric", name)
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

// needConfigfs mounts configfs if nobody has.
func (m machine) ensureConfigfs() error {
	dir := m.configfs()
	if m.isConfigfs(dir) {
		return nil
	}
	if err := m.ensure(configFS); err != nil {
		return err
	}
	// That it is busy says that another lunserve was first.
	if err := m.mount(dir); err != nil && !m.isConfigfs(dir) {
		return hint.Try(fmt.Errorf("%s: mount: %w", dir, err), "mount", "-t", "configfs", "configfs", dir)
	}
	if !m.isConfigfs(dir) {
		return hint.Try(fmt.Errorf("%s: not a configfs, though mounted", dir), "mount", "-t", "configfs", "configfs", dir)
	}
	return nil
}

// need loads what is missing. The two ways to fail ask for different things of
// the user: a kernel that has the module, or a look at why it does not load.
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
		return hint.Try(fmt.Errorf("%s is not loaded, and cannot be: %w", f.module, failed), "modprobe", f.module)
	}
	return hint.With(fmt.Errorf("%s is loaded, but %s is not there", f.module, filepath.Join(m.sys, f.sysfs)), kernelLog)
}

// loadable returns nil if the kernel was built with the feature, as far as the
// lists of its modules tell.
func (m machine) checkBuilt(f feature) error {
	dir := filepath.Join(m.modules, m.release())
	dep, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return fmt.Errorf("%s is not loaded, and %s has no modules for the running kernel; reboot into an installed one", f.module, dir)
	}
	if !listsModule(string(dep), f.module) && !m.builtin(f.module) {
		return fmt.Errorf("%s is not built for kernel %s (%s); boot a kernel that has it, such as Debian's linux-image-amd64", f.module, m.release(), f.option)
	}
	return nil
}

// has tells whether the feature shows. Parts of the kernel proper may show
// nothing in sysfs that says so.
func (m machine) has(f feature) bool {
	return exists(m.sys, f.sysfs) || strings.HasPrefix(f.sysfs, "module/") && m.builtin(f.module)
}

func (m machine) builtin(module string) bool {
	b, _ := os.ReadFile(filepath.Join(m.modules, m.release(), "modules.builtin"))
	return listsModule(string(b), module)
}

// lists tells whether a list of module files, of which dependencies may follow
// after a colon, has one for the module. Its name has dashes or underscores.
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
