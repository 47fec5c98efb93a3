package configfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lunserve/lunserve/hint"
)

// checkBuilt returns an error if the kernel was built without the feature,
// according to its lists of modules.
func (m machine) checkBuilt(f feature) error {
	dir := filepath.Join(m.modules, m.release())
	dep, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	switch {
	case err != nil:
		return fmt.Errorf("%s is not loaded, and %s has no modules for the running kernel; %s", f.module, dir, m.otherKernel(f))
	case listsModule(string(dep), f.module) || m.builtin(f.module):
		return nil
	case m.isUbuntu():
		return hint.Try(fmt.Errorf("%s is not installed for kernel %s", f.module, m.release()), "apt-get", "install", "linux-modules-extra-"+m.release())
	}
	return fmt.Errorf("%s is not built for kernel %s (%s); boot a kernel that has it, such as Debian's linux-image-amd64", f.module, m.release(), f.option)
}

// otherKernel says how to get modules when there are none for the running
// kernel: it was upgraded, or comes from outside of this system.
func (m machine) otherKernel(f feature) string {
	var installed []string
	for _, list := range m.glob(m.modules, "*/modules.dep") {
		if dep, err := os.ReadFile(list); err == nil && listsModule(string(dep), f.module) {
			installed = append(installed, filepath.Base(filepath.Dir(list)))
		}
	}
	if len(installed) == 0 {
		return "load it on the host of this container, or boot a kernel that has modules here"
	}
	slices.Sort(installed)
	return "reboot into " + strings.Join(installed, " or ")
}

// isUbuntu reports whether this system is Ubuntu or derived from it. Its package
// linux-modules-extra has the modules of targets.
func (m machine) isUbuntu() bool {
	text, err := os.ReadFile(filepath.Join(m.etc, "os-release"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if (name == "ID" || name == "ID_LIKE") && slices.Contains(strings.Fields(strings.Trim(value, `"'`)), "ubuntu") {
			return true
		}
	}
	return false
}
