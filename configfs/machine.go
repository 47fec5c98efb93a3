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

// A machine is where the kernel shows itself and what can be asked of it. The
// tests put its folders in a temporary one and play the kernel themselves.
type machine struct {
	sys     string
	proc    string
	dev     string
	run     string
	etc     string
	modules string // has a folder for each kernel

	// What needs more than files.
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

	// before and after surround each operation on configfs; nil but in tests.
	// An error from before is the operation's own.
	before func(verb, path string) error
	after  func(verb, path string)
}

// here is the machine that we run on.
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

// release is the version of the running kernel, which names its modules' folder.
func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// group is the id of a file's group; 0 if there is no such file.
func group(path string) int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return int(st.Gid)
}

// uses finds the users of disks on the machine.
func (m machine) uses() inuse.View { return inuse.View{Proc: m.proc, Sys: m.sys, Dev: m.dev} }

// configfs is where it is mounted. The folder is there if the kernel has it.
func (m machine) configfs() string { return filepath.Join(m.sys, "kernel/config") }

func isConfigfs(dir string) bool {
	const magic = 0x62656570 // CONFIGFS_MAGIC of fs/configfs
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == magic
}

func mountConfigfs(dir string) error {
	return unix.Mount("configfs", dir, "configfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// modprobe loads a module. Its error says why modprobe did not, which need not
// mean that the feature is missing.
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
	return errors.New(said) // rather than an exit status
}

func modprobePath() string {
	path, err := exec.LookPath("modprobe")
	if err != nil {
		return "/sbin/modprobe" // not in the PATH that some ways to root give
	}
	return path
}

// attribute reads a file of one value, such as those of sysfs.
func readAttribute(path ...string) (string, error) {
	b, err := os.ReadFile(filepath.Join(path...))
	return strings.TrimSpace(string(b)), err
}

// exists tells whether there is a file or folder of this name.
func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}

// write gives one value to a file of the kernel's. It is one write(2), because
// each is taken for a value of its own, and it creates nothing, because a file
// that the kernel does not have cannot be made.
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

// tell is write, with an error that names the file.
func writeAttribute(path, value string) error {
	if err := write(path, value); err != nil {
		return fmt.Errorf("%s: write: %w", path, err)
	}
	return nil
}
