package storetest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/hint"
)

// A Place is a file system to keep images on.
type Place struct {
	Name string
	Dir  func(testing.TB) string // makes a directory there for the test
}

// Places are file systems that differ in their abilities: one for disks; tmpfs,
// which has no RWF_NOWAIT and cannot zero a range; ramfs, which has neither holes
// nor fallocate.
var Places = []Place{
	{"disk", func(t testing.TB) string { return TempDir(t, "/var/tmp") }},
	{"tmpfs", MemDir},
	{"ramfs", func(t testing.TB) string { return Mount(t, "none", "ramfs", 0, "") }},
}

// MemDir makes a directory on tmpfs, where a sync takes no time.
func MemDir(t testing.TB) string { return TempDir(t, "/dev/shm") }

// TempDir makes a directory in parent for the time of the test.
func TempDir(t testing.TB, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "lunserve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Missing skips a test that needs something this machine lacks. In CI, where
// nothing may be skipped, it fails the test.
func Missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}

// NeedRoot skips a test that must run as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "root", errors.New("not root"))
	}
}

// Command runs a command and returns its output.
func Command(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		Missing(t, "command", err)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Start starts a command that ends when its stdin does, writes a text to it, and
// waits for an answer. The command runs until release is called or the test
// ends.
func Start(t testing.TB, cmd *exec.Cmd, say, answer string) (pid int, release func()) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	released := false
	release = func() {
		if !released {
			released = true
			in.Close()
			cmd.Wait()
		}
	}
	t.Cleanup(release)
	if _, err := io.WriteString(in, say); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), answer) {
			return cmd.Process.Pid, release
		}
		t.Logf("%s: %s", cmd.Path, lines.Text())
	}
	t.Fatalf("%s ended before it printed %q", cmd.Path, answer)
	return 0, nil
}

// Mount mounts a new file system for the time of the test.
func Mount(t testing.TB, source, fstype string, flags uintptr, data string) string {
	t.Helper()
	NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount(source, dir, fstype, flags, data); err != nil {
		Missing(t, "mount "+fstype, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// Loop makes a block device of a new sparse file. The arguments are losetup's.
func Loop(t testing.TB, size int64, args ...string) (dev, file string) {
	t.Helper()
	NeedRoot(t)
	file = NewFile(t, t.TempDir(), size)
	out, err := exec.Command("losetup", append([]string{"--find", "--show", file}, args...)...).CombinedOutput()
	if err != nil {
		Missing(t, "losetup", fmt.Errorf("%w: %s", err, out))
	}
	dev = strings.TrimSpace(string(out))
	t.Cleanup(func() { Command(t, "losetup", "--detach", dev) })
	return dev, file
}

// NewFile makes a sparse file in dir.
func NewFile(t testing.TB, dir string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// ProcessName returns the kernel's name of this process.
func ProcessName(t testing.TB) string {
	t.Helper()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(comm))
}

// WantError checks that err, printed with its hints, is this one line. PATH
// stands for path.
func WantError(t testing.TB, err error, path, want string) {
	t.Helper()
	want = strings.ReplaceAll(want, "PATH", path)
	if err == nil {
		t.Errorf("no error, want %q", want)
	} else if got := hint.Text(err); got != want {
		t.Errorf("error %q,\n want %q", got, want)
	}
}
