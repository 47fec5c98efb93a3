// Package inuse finds the users of block devices and files on this machine:
// mounts, swap, devices stacked on a disk, processes that have it open or hold
// a lock. It reads proc and sysfs, and changes nothing.
//
// Every package may import it, and it imports no other package of lunserve. Its
// results are data for programs. [User.String] is the only place that makes
// them English.
//
// The results are best effort: a process in another PID namespace, or one that
// may not be inspected, is missing from them.
package inuse

import (
	"fmt"
	"strings"
)

// A Kind is a way to use a disk.
type Kind string

const (
	Mount  Kind = "mount"  // a mounted file system; Where is the mount point
	Swap   Kind = "swap"   // swap space; Where is its node
	Holder Kind = "holder" // a device stacked on the disk; Where is its node
	Kernel Kind = "kernel" // another part of the kernel; Where says which, if that is known

	// A process has the node open.
	OpenedBy Kind = "process"

	// The users of a target, for callers that serve one. This package does not
	// look for them.
	Initiator Kind = "initiator" // an iSCSI session; Where is the initiator's name
	VM        Kind = "vm"        // a virtual machine; PID and Command are its process
	Unknown   Kind = "unknown"   // whether there is one cannot be told; Where says why
)

// A User is one user of a disk or of a part of it.
type User struct {
	Kind    Kind   `json:"kind"`
	Where   string `json:"where,omitempty"`
	PID     int    `json:"pid,omitempty"` // of a mount, one process that sees it, if lunserve does not
	Command string `json:"command,omitempty"`
}

// String describes u as the rest of a sentence about the disk, such as "mounted
// on /mnt". Names stay as they are: who prints them escapes them.
func (u User) String() string {
	process := Process{u.PID, u.Command}
	switch u.Kind {
	case Mount:
		if u.PID != 0 {
			return fmt.Sprintf("mounted on %s for %v", u.Where, process)
		}
		return "mounted on " + u.Where
	case Swap:
		return "swap space"
	case Holder:
		return "part of " + strings.TrimPrefix(u.Where, "/dev/")
	case Kernel:
		if u.Where == "" {
			return "in use by the kernel"
		}
	case OpenedBy:
		return "opened by " + process.String()
	case VM:
		return "used by " + process.String()
	case Unknown:
		return "perhaps in use: " + u.Where
	}
	return "used by " + u.Where
}

// Transient reports whether the use may be about to end, which nothing
// announces. udev opens a disk when its last writer has closed it, and the
// kernel confirms a logout before it forgets the session.
func (u User) Transient() bool {
	return u.Kind == OpenedBy || u.Kind == Initiator || u.Kind == VM || u == User{Kind: Kernel}
}

// A View is where the kernel shows its state. Tests make their own.
type View struct{ Proc, Sys, Dev string }

// Host returns the view of the running machine.
func Host() View { return View{Proc: "/proc", Sys: "/sys", Dev: "/dev"} }
