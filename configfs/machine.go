package configfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/inuse"
)

// A machine is where the kernel shows its state, and the operations that need
// more than files. Tests use directories of their own and play the kernel.
type machine struct {
	sys     string
	proc    string
	dev     string
	run     string
	etc     string
	modules string // one directory per kernel release

	euid        func() int
	release     func() string
	isConfigfs  func(dir string) bool
	mount       func(dir string) error
	modprobe    func(module string) error
	hasModprobe func() bool
	setGroup    func(path string, id int) error
	group       func(path string) (id int)
	listen      func() (listener, error)

	busy *busy

	// before and after surround each operation on configfs; only tests set
	// them. An error of before becomes that of the operation.
	before func(verb, path string) error
	after  func(verb, path string)
}

// host is the machine that this process runs on.
var host = machine{
	sys:     "/sys",
	proc:    "/proc",
	dev:     "/dev",
	run:     "/run",
	etc:     "/etc",
	modules: "/lib/modules",

	euid:        os.Geteuid,
	release:     release,
	isConfigfs:  isConfigfs,
	mount:       mountConfigfs,
	modprobe:    modprobe,
	hasModprobe: func() bool { return exists(modprobePath()) },
	setGroup:    func(path string, id int) error { return unix.Chown(path, -1, id) },
	group:       group,
	listen:      func() (listener, error) { return listenUevents() },

	busy: new(busy),
}

// release returns the release of the running kernel, which names the directory
// of its modules.
func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// group returns the group id of a file, or 0 if it does not exist.
func group(path string) int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return int(st.Gid)
}

// uses finds the users of disks on this machine.
func (m machine) uses() inuse.View { return inuse.View{Proc: m.proc, Sys: m.sys, Dev: m.dev} }

// configfs returns the mount point of configfs. The directory exists if the
// kernel has configfs.
func (m machine) configfs() string { return filepath.Join(m.sys, "kernel/config") }

func isConfigfs(dir string) bool {
	const magic = 0x62656570 // CONFIGFS_MAGIC of fs/configfs
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == magic
}

func mountConfigfs(dir string) error {
	return unix.Mount("configfs", dir, "configfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// modprobe loads a module. Its error is the reason that modprobe gives. The
// feature may exist in spite of it.
func modprobe(module string) error {
	out, err := exec.Command(modprobePath(), module).CombinedOutput()
	if err == nil {
		return nil
	}
	said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	for _, title := range []string{"modprobe: ", "FATAL: ", "ERROR: "} {
		said = strings.TrimPrefix(said, title)
	}
	if said == "" {
		return err
	}
	return errors.New(said) // more useful than an exit status
}

func modprobePath() string {
	path, err := exec.LookPath("modprobe")
	if err != nil {
		return "/sbin/modprobe" // su and cron may set a PATH without it
	}
	return path
}

// readAttribute reads a file with one value, such as those of sysfs.
func readAttribute(path ...string) (string, error) {
	b, err := os.ReadFile(filepath.Join(path...))
	return strings.TrimSpace(string(b)), err
}

// exists reports whether a file or directory exists.
func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}

// write writes a value to an attribute in one write(2), because each write
// counts as a value. It never creates a file: a missing attribute is an error.
func write(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Write(fd, []byte(value))
	if err == nil && n != len(value) {
		err = io.ErrShortWrite
	}
	return err
}

// writeAttribute is write with an error that names the file.
func writeAttribute(path, value string) error {
	if err := write(path, value); err != nil {
		return fmt.Errorf("%s: write: %w", path, err)
	}
	return nil
}
