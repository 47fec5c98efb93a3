package confinetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/serve/confine"
)

// refusals tries what is refused to a confined process, and returns an error if
// something succeeds, or fails for another reason.
func refusals(dir string) error {
	open := func(path string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	offered := confine.Offered()
	var errs []error
	for _, r := range []struct {
		what    string
		offered bool
		do      func() error
		want    error
	}{
		{"open /etc/shadow", offered.Landlock > 0, open("/etc/shadow", unix.O_RDONLY), unix.EACCES},
		{"open a file beside", offered.Landlock > 0, open(filepath.Join(dir, "secret"), unix.O_RDONLY), unix.EACCES},
		{"make a file beside", offered.Landlock > 0, open(filepath.Join(dir, "new"), unix.O_WRONLY|unix.O_CREAT), unix.EACCES},
		{"write to /proc", offered.Landlock > 0, open("/proc/self/comm", unix.O_WRONLY), unix.EACCES},
		{"remove a file beside", offered.Landlock > 0, func() error { return unix.Unlink(filepath.Join(dir, "secret")) }, unix.EACCES},
		{"look into another process", offered.Landlock > 0, func() error {
			_, err := os.Readlink("/proc/1/cwd")
			return err
		}, unix.EACCES},
		{"execute", offered.Landlock > 0, func() error { return exec.Command("/bin/true").Run() }, unix.EACCES},
		{"connect", offered.Seccomp, func() error {
			_, err := net.Dial("tcp", os.Getenv(remote))
			return err
		}, unix.EPERM},
		{"mount", offered.Seccomp, func() error { return unix.Mount("none", "/missing", "tmpfs", 0, "") }, unix.EPERM},
		{"ptrace", offered.Seccomp, func() error { return unix.PtraceSeize(os.Getppid()) }, unix.EPERM},
		{"bpf", offered.Seccomp, func() error {
			_, _, e := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
			return e
		}, unix.EPERM},
	} {
		if !r.offered {
			continue
		}
		if err := r.do(); !errors.Is(err, r.want) {
			errs = append(errs, fmt.Errorf("%s: %v, want %v", r.what, err, r.want))
		}
	}
	return errors.Join(errs...)
}

// uses returns an error if what is given does not work.
func uses(given string) error {
	file, made := filepath.Join(given, "file"), filepath.Join(given, "made")
	l, err := net.Listen("unix", filepath.Join(given, "socket"))
	if err == nil {
		defer l.Close()
		var c net.Conn
		if c, err = net.Dial("unix", l.Addr().String()); err == nil {
			err = c.Close()
		}
	}
	fd, err2 := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	unix.Close(fd)
	return errors.Join(err, err2,
		os.WriteFile(file, []byte("other"), 0),
		os.WriteFile(made, nil, 0o600), os.Link(made, made+"2"), os.Rename(made, made+"2"), os.Remove(made), os.Remove(made+"2"),
		os.Mkdir(made, 0o700), os.Remove(made))
}

// capabilities returns an error if a thread has others than want.
func capabilities(set string, want uint64) error {
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if len(tasks) == 0 {
		return fmt.Errorf("no threads: %v", err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		_, value, _ := strings.Cut(string(text), set+":\t")
		var has uint64
		if _, err2 := fmt.Sscanf(value, "%x", &has); err != nil || err2 != nil || has&^want != 0 {
			return fmt.Errorf("%s: %s is %x, want %x; %w", task, set, has, want, errors.Join(err, err2))
		}
	}
	return nil
}
