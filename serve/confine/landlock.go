package confine

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights are what may be done with a file, or with everything below a directory.
type Rights uint64

const (
	Read       Rights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	Write      Rights = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	Name       Rights = unix.LANDLOCK_ACCESS_FS_MAKE_REG // to give a file a name in its folder
	Make       Rights = Name | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	RemoveFile Rights = unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	RemoveDir  Rights = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR
	Execute    Rights = unix.LANDLOCK_ACCESS_FS_EXECUTE
	Ioctl      Rights = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV // of devices

	// All is what making, changing and removing in a folder take.
	All = Read | Write | Make | RemoveFile | RemoveDir
)

// ofFiles are the rights that a file can have which is no directory.
const ofFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | Write | Execute | Ioctl

// A Path is a file or directory that a confined process may use. The kernel
// follows it once: what has the name later may be another file. A file that does
// not exist gives no rights.
type Path struct {
	Name   string
	Rights Rights
}

// handled returns the rights that an ABI of Landlock knows, and which so are
// refused where no path gives them.
func handled(abi int) uint64 {
	rights := uint64(unix.LANDLOCK_ACCESS_FS_REFER - 1) // those of ABI 1
	for _, since := range []struct {
		abi   int
		right uint64
	}{
		{2, unix.LANDLOCK_ACCESS_FS_REFER},
		{3, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
		{5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
	} {
		if abi >= since.abi {
			rights |= since.right
		}
	}
	return rights
}

// landlockABI returns the version of Landlock, or 0 if the kernel has none or it
// was not enabled at boot.
func landlockABI() int {
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(abi)
}

// restrictPaths restricts all threads to the paths, and returns the ABI.
func restrictPaths(paths []Path) (abi int, err error) {
	if abi = landlockABI(); abi == 0 {
		return 0, nil
	}
	known, net := handled(abi), uint64(0)
	if abi >= 4 {
		net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	rules, err := newRules(known, net)
	if err != nil {
		return 0, err
	}
	defer unix.Close(rules)
	for _, p := range paths {
		if err := p.add(rules, known); err != nil {
			return 0, err
		}
	}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(rules), 0, 0)
	// A confined process that confines itself again adds a layer, such as a guard that a
	// confined server has started and that takes its place. The kernel has 16 layers; a
	// process with so many is confined enough.
	if e != 0 && e != syscall.E2BIG {
		return 0, fmt.Errorf("landlock_restrict_self: %w", e)
	}
	return abi, nil
}

// newRules returns rules that refuse these rights to files and networks.
func newRules(fs, net uint64) (fd int, err error) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: fs, Handled_access_net: net}
	rules, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if e != 0 {
		return -1, fmt.Errorf("landlock_create_ruleset: %w", e)
	}
	return int(rules), nil
}

// add adds the rule for a path.
func (p Path) add(rules int, known uint64) error {
	fd, err := unix.Open(p.Name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // the code that needs the file reports it
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	rights := uint64(p.Rights) & known
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= uint64(ofFiles)
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	// ENOMSG: no rights. EBADFD: a pipe, a socket or a memfd, which no rule is for: they
	// are in no file system, and Landlock leaves them alone.
	if e != 0 && e != unix.ENOMSG && e != unix.EBADFD {
		return fmt.Errorf("%s: landlock_add_rule: %w", p.Name, e)
	}
	return nil
}
