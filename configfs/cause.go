package configfs

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// kernelLog shows reasons that the kernel gives nowhere else.
var kernelLog = hint.Command{Words: []string{"dmesg"}, Pipe: []string{"tail"}}

const inLog = "the kernel gives the reason only in its log"

// A cause explains an error number that does not say what is wrong.
type cause struct {
	verb, name string // name is a pattern
	errno      unix.Errno
	text       string
	try        []hint.Command
}

// causes lists the known causes. The first that matches an error applies.
var causes = []cause{
	{"mkdir", "core/user_*", unix.EINVAL, "the kernel's target has no user backstore", command("modprobe", "target_core_user")},
	{"mkdir", "core/user_*/*", unix.EEXIST, "another program made it", nil},
	{"write", "core/user_*/*/enable", unix.ENOENT, "tcmu-runner refused the device", command("systemctl", "status", "tcmu-runner")},
	{"write", "core/user_*/*/enable", unix.ENOMEM, "no kernel memory for the ring", nil},
	{"rmdir", "core/user_*/*", unix.EBUSY, "a LUN still uses it", command("targetcli", "ls")},

	{"mkdir", "loopback", unix.EINVAL, "the kernel has no loopback target", command("modprobe", "tcm_loop")},
	{"mkdir", "loopback/*", unix.EEXIST, "a target with this name exists", command("targetcli", "ls", "/loopback")},
	{"mkdir", "loopback/*", unix.EINVAL, inLog, []hint.Command{kernelLog}},
	{"mkdir", "loopback/*/*", unix.EINVAL, inLog, []hint.Command{kernelLog}},
	{"link", "loopback/*/*/lun/*/*", unix.ENODEV, "the backstore is not enabled", nil},

	{"mkdir", "iscsi", unix.EINVAL, "the kernel has no iSCSI target", command("modprobe", "iscsi_target_mod")},
	{"mkdir", "iscsi/*", unix.EEXIST, "a target with this name exists", command("targetcli", "ls", "/iscsi")},
	{"mkdir", "iscsi/*/*/np/*", unix.EINVAL, "the port may be in use; " + inLog, []hint.Command{kernelLog}},
	{"mkdir", "iscsi/*", unix.EINVAL, inLog, []hint.Command{kernelLog}},
	{"mkdir", "iscsi/*/*", unix.EINVAL, inLog, []hint.Command{kernelLog}},

	{"mkdir", "vhost", unix.EINVAL, "the kernel has no vhost target", command("modprobe", "vhost_scsi")},
	{"mkdir", "vhost/*", unix.EEXIST, "a target with this name exists", command("targetcli", "ls", "/vhost")},
	{"mkdir", "vhost/*", unix.EINVAL, inLog, []hint.Command{kernelLog}},
}

func command(words ...string) []hint.Command { return []hint.Command{{Words: words}} }

// explain adds the cause to err where the error number hides it.
func explain(verb, name string, err error) error {
	for _, c := range causes {
		matches, _ := path.Match(c.name, name)
		if matches && c.verb == verb && errors.Is(err, c.errno) {
			return hint.With(fmt.Errorf("%w: %s", err, c.text), c.try...)
		}
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EROFS} {
		if errors.Is(err, errno) && verb != "rmdir" && verb != "unlink" {
			return fmt.Errorf("%w; run it as root, outside of containers", err)
		}
	}
	return err
}
