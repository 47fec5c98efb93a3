package configfs

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// kernelLog shows the reasons that the kernel gives nowhere else.
var kernelLog = hint.Command{Words: []string{"dmesg"}, Pipe: []string{"tail"}}

var none hint.Command

// causes is what is really the matter where the kernel's error number does not
// say, and what to type. The first that fits holds.
var causes = []struct {
	verb, name string // name is a pattern
	errno      unix.Errno
	cause      string
	try        hint.Command // optional
}{
	{"mkdir", "core/user_*", unix.EINVAL, "the kernel's target has no user backstore", hint.Command{Words: []string{"modprobe", "target_core_user"}}},
	{"mkdir", "core/user_*/*", unix.EEXIST, "another program made it", none},
	{"write", "core/user_*/*/enable", unix.ENOENT, "tcmu-runner refused the device", hint.Command{Words: []string{"systemctl", "stop", "tcmu-runner"}}},
	{"write", "core/user_*/*/enable", unix.ENOMEM, "no kernel memory for the ring", none},
	{"rmdir", "core/user_*/*", unix.EBUSY, "a LUN still uses it", hint.Command{Words: []string{"targetcli", "ls"}}},

	{"mkdir", "loopback", unix.EINVAL, "the kernel has no loopback target", hint.Command{Words: []string{"modprobe", "tcm_loop"}}},
	{"mkdir", "loopback/*", unix.EEXIST, "a target with this name exists", hint.Command{Words: []string{"targetcli", "ls", "/loopback"}}},
	{"mkdir", "loopback/*", unix.EINVAL, "the kernel gives the reason only in its log", kernelLog},
	{"mkdir", "loopback/*/*", unix.EINVAL, "the kernel gives the reason only in its log", kernelLog},
	{"link", "loopback/*/*/lun/*/*", unix.ENODEV, "the backstore is not enabled", none},

	{"mkdir", "iscsi", unix.EINVAL, "the kernel has no iSCSI target", hint.Command{Words: []string{"modprobe", "iscsi_target_mod"}}},
	{"mkdir", "iscsi/*", unix.EEXIST, "a target with this name exists", hint.Command{Words: []string{"targetcli", "ls", "/iscsi"}}},
	{"mkdir", "iscsi/*/*/np/*", unix.EINVAL, "the port may be in use; the kernel gives the reason only in its log", kernelLog},
	{"mkdir", "iscsi/*", unix.EINVAL, "the kernel gives the reason only in its log", kernelLog},
	{"mkdir", "iscsi/*/*", unix.EINVAL, "the kernel gives the reason only in its log", kernelLog},

	{"mkdir", "vhost", unix.EINVAL, "the kernel has no vhost target", hint.Command{Words: []string{"modprobe", "vhost_scsi"}}},
	{"mkdir", "vhost/*", unix.EEXIST, "a target with this name exists", hint.Command{Words: []string{"targetcli", "ls", "/vhost"}}},
	{"mkdir", "vhost/*", unix.EINVAL, "the kernel gives the reason only in its log", kernelLog},
}

// explain adds the cause to err, if the kernel is known to hide it.
func explain(verb, name string, err error) error {
	for _, c := range causes {
		fits, _ := path.Match(c.name, name)
		if fits && c.verb == verb && errors.Is(err, c.errno) {
			err = fmt.Errorf("%w: %s", err, c.cause)
			if len(c.try.Words) > 0 {
				err = hint.With(err, c.try)
			}
			return err
		}
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EROFS} {
		if errors.Is(err, errno) && verb != "rmdir" && verb != "unlink" {
			return fmt.Errorf("%w; run it as root, outside of containers", err)
		}
	}
	return err
}
