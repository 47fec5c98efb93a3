package configfs

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// A Finding is the state of one thing that serving needs.
type Finding struct {
	About string // the thing, such as "tcm_loop"
	Is    string // its state, if Err is nil
	Err   error  // what is wrong with it, with hints; or nil
	Minor bool   // whether images can be served with the defaults in spite of Err
}

// Diagnose examines everything that [Ready] and the targets need of this
// machine. It changes nothing.
func Diagnose() []Finding { return host.diagnose() }

func (m machine) diagnose() []Finding {
	all := []Finding{m.diagnoseRoot(), m.diagnoseConfigfs(), m.diagnoseFeature(targetCore), m.diagnoseFeature(targetUser)}
	for _, f := range fabrics["loopback"] {
		all = append(all, m.diagnoseFeature(f))
	}
	for _, name := range []string{"cdrom", "iscsi", "vhost"} {
		for _, f := range fabrics[name] {
			found := m.diagnoseFeature(f)
			found.Minor = true
			all = append(all, found)
		}
	}
	return append(all, m.diagnoseDevtmpfs(), m.diagnoseUdev(), m.diagnoseMachineID(), m.diagnoseRunner(), m.diagnosePortal())
}

func (m machine) diagnoseRoot() Finding {
	f := Finding{About: "root", Is: "may configure the kernel's targets"}
	ids, _ := readAttribute(m.proc, "self/uid_map")
	ids, _, _ = strings.Cut(ids, "\n") // the first range contains root
	switch fields := strings.Fields(ids); {
	case m.euid() != 0:
		f.Err = errNotRoot
	case len(fields) == 3 && (fields[1] != "0" || fields[2] != "4294967295"):
		f.Err = errors.New("root only in a user namespace, which may not configure the kernel's targets; run it outside of the container")
	}
	return f
}

func (m machine) diagnoseConfigfs() Finding {
	dir := m.configfs()
	f := Finding{About: "configfs", Is: "mounted on " + dir}
	if !m.isConfigfs(dir) {
		f = m.diagnoseFeature(configFS)
		f.Is += "; will be mounted on " + dir
		if f.Err == nil && m.euid() == 0 && !m.capable(unix.CAP_SYS_ADMIN) {
			f.Err = fmt.Errorf("root lacks CAP_SYS_ADMIN to mount it on %s; run it outside of the container", dir)
		}
		return f
	}
	if unix.Access(dir, unix.W_OK) == unix.EROFS {
		f.Err = hint.Try(fmt.Errorf("%s: read-only, as in containers", dir), "mount", "-o", "remount,rw", dir)
	}
	return f
}

// diagnoseFeature looks for a feature of the kernel.
func (m machine) diagnoseFeature(f feature) Finding {
	found := Finding{About: f.module, Is: "loaded"}
	switch {
	case m.builtin(f.module):
		found.Is = "built in"
	case !m.has(f):
		found.Is = "a module, will be loaded"
		if found.Err = m.checkBuilt(f); found.Err == nil {
			found.Err = m.checkLoading()
		}
	}
	return found
}

// checkLoading returns an error if no module at all can be loaded.
func (m machine) checkLoading() error {
	disabled, _ := readAttribute(m.proc, "sys/kernel/modules_disabled")
	switch {
	case disabled == "1":
		return errors.New("module loading is disabled until the next reboot (kernel.modules_disabled)")
	case m.euid() == 0 && !m.capable(unix.CAP_SYS_MODULE):
		return errors.New("root lacks CAP_SYS_MODULE to load modules; run it outside of the container")
	case !m.hasModprobe():
		return hint.Try(errors.New("modprobe is not installed"), "apt-get", "install", "kmod")
	}
	return nil
}

// capable reports whether this process has a capability.
func (m machine) capable(capability int) bool {
	status, _ := readAttribute(m.proc, "self/status")
	for line := range strings.Lines(status) {
		if set, ok := strings.CutPrefix(line, "CapEff:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			return err == nil && bits>>capability&1 == 1
		}
	}
	return false
}

// diagnoseDevtmpfs checks that the kernel makes the nodes of devices, such as
// /dev/uio0.
func (m machine) diagnoseDevtmpfs() Finding {
	f := Finding{About: m.dev, Is: "the kernel makes device nodes"}
	mounts, err := os.ReadFile(filepath.Join(m.proc, "self/mounts"))
	if err != nil {
		f.Err = err
		return f
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == m.dev && fields[2] == "devtmpfs" {
			return f
		}
	}
	f.Err = fmt.Errorf("the kernel does not make device nodes here, such as uio0; run lunserve where %s is a devtmpfs", m.dev)
	return f
}

func (m machine) diagnoseUdev() Finding {
	f := Finding{About: "udev", Is: "running; a disk is ready when udev has processed it", Minor: true}
	if !exists(m.run, "udev/control") {
		f.Err = hint.Try(errors.New("not running, so there are no links in /dev/disk"), "systemctl", "start", "systemd-udevd")
	}
	return f
}

// diagnoseRunner looks for tcmu-runner, which lunserve neither needs nor
// disturbs.
func (m machine) diagnoseRunner() Finding {
	f := Finding{About: "tcmu-runner", Is: "not running, and not needed"}
	for _, p := range m.uses().Named("tcmu-runner") {
		f.Is = fmt.Sprintf(`running (pid %d); ignores lunserve's disks, and for each the kernel logs "could not find device"`, p.PID)
	}
	return f
}

// diagnosePortal checks the default portal.
func (m machine) diagnosePortal() Finding {
	p := netip.MustParseAddrPort("127.0.0.1:3260")
	return Finding{About: p.String(), Is: "free, or a portal of the kernel's targets", Err: m.checkPortal(p), Minor: true}
}
