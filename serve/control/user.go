package control

import (
	"fmt"
	"strings"
)

// A User is somebody or something that uses a disk.
type User struct {
	Kind    Kind   `json:"kind"`
	Where   string `json:"where,omitempty"`   // by kind: mount point, holder's name, initiator's name
	PID     int    `json:"pid,omitempty"`     // of a process, or of one in whose mount namespace it is mounted
	Command string `json:"command,omitempty"` // its name
}

// Kind is the kind of a [User].
type Kind string

const (
	Mount     Kind = "mount"     // a file system
	Swap      Kind = "swap"      // swap space
	Holder    Kind = "holder"    // another block device, such as a RAID or a logical volume
	Process   Kind = "process"   // a process that has the node open
	Initiator Kind = "initiator" // an iSCSI session
	VM        Kind = "vm"        // a virtual machine that has the vhost target
)

// MayLeave reports whether the use may be about to end without notice: udev
// opens a disk for a moment when its last writer has closed it, and the kernel
// forgets a session some time after its initiator has logged out.
func (u User) MayLeave() bool {
	return u.Kind == Process || u.Kind == Initiator || u.Kind == VM
}

// String reads on from the name of the disk: "mounted on /mnt".
func (u User) String() string {
	process := ""
	if u.PID != 0 {
		process = fmt.Sprintf("%s (pid %d)", u.Command, u.PID)
	}
	switch u.Kind {
	case Mount:
		if process != "" {
			return fmt.Sprintf("mounted on %s for %s", u.Where, process)
		}
		return "mounted on " + u.Where
	case Swap:
		return "swap space"
	case Holder:
		return "part of " + u.Where
	case Process:
		return "opened by " + process
	case VM:
		return "used by " + process
	}
	return "used by " + u.Where
}

// Sentences returns who uses d, one sentence each: "/dev/sdb is mounted on
// /mnt". The users of a target reach all of its disks.
func (d *Disk) Sentences() (all []string) {
	for _, u := range d.Users {
		all = append(all, fmt.Sprintf("%s is %s", d.usedBy(u.Kind), u))
	}
	return all
}

// usedBy is the name of d by which users of this kind reach it.
func (d *Disk) usedBy(k Kind) string {
	switch k {
	case VM:
		return d.WWPN
	case Initiator:
		// iscsi://PORTAL/IQN/LUN
		if parts := strings.Split(d.URI, "/"); len(parts) == 5 {
			return parts[3]
		}
		return d.URI
	}
	return d.Device
}
