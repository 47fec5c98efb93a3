package configfs

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// causes is what is really the matter where the kernel's error number does not
// say, and what to type. The first that fits holds.
var causes = []struct {
	verb, name string // name is a pattern
	errno      unix.Errno
	cause      string
}{
	{"mkdir", "core/user_*", unix.EINVAL, "the kernel's target has no user backstore; try modprobe target_core_user"},
	{"mkdir", "core/user_*/*", unix.EEXIST, "somebody else made it"},
	{"write", "core/user_*/*/enable", unix.ENOENT, "tcmu-runner refused the device; try systemctl stop tcmu-runner"},
	{"write", "core/user_*/*/enable", unix.ENOMEM, "no kernel memory for the ring"},
	{"rmdir", "core/user_*/*", unix.EBUSY, "a LUN still uses it; try targetcli ls"},

	{"mkdir", "loopback", unix.EINVAL, "the kernel has no loopback target; try modprobe tcm_loop"},
	{"mkdir", "loopback/*", unix.EEXIST, "a target of this name exists; try targetcli ls /loopback"},
	{"mkdir", "loopback/*", unix.EINVAL, "the kernel tells why in its log only; try dmesg | tail"},
	{"mkdir", "loopback/*/*", unix.EINVAL, "the kernel tells why in its log only; try dmesg | tail"},
	{"link", "loopback/*/*/lun/*/*", unix.ENODEV, "the backstore is not enabled"},

	{"mkdir", "iscsi", unix.EINVAL, "the kernel has no iSCSI target; try modprobe iscsi_target_mod"},
	{"mkdir", "iscsi/*", unix.EEXIST, "a target of this name exists; try targetcli ls /iscsi"},
	{"mkdir", "iscsi/*/*/np/*", unix.EINVAL, "the port may be in use, which the kernel tells in its log only; try dmesg | tail"},
	{"mkdir", "iscsi/*", unix.EINVAL, "the kernel tells why in its log only; try dmesg | tail"},
	{"mkdir", "iscsi/*/*", unix.EINVAL, "the kernel tells why in its log only; try dmesg | tail"},

	{"mkdir", "vhost", unix.EINVAL, "the kernel has no vhost target; try modprobe vhost_scsi"},
	{"mkdir", "vhost/*", unix.EEXIST, "a target of this name exists; try targetcli ls /vhost"},
	{"mkdir", "vhost/*", unix.EINVAL, "the kernel tells why in its log only; try dmesg | tail"},
}

// explain adds the cause to err, if the kernel is known to hide it.
func explain(verb, name string, err error) error {
	for _, c := range causes {
		fits, _ := path.Match(c.name, name)
		if fits && c.verb == verb && errors.Is(err, c.errno) {
			return fmt.Errorf("%w: %s", err, c.cause)
		}
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.EROFS} {
		if errors.Is(err, errno) && verb != "rmdir" && verb != "unlink" {
			return fmt.Errorf("%w; try as root, outside of containers", err)
		}
	}
	return err
}
