package backstores_test

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

	"github.com/lunserve/lunserve/backstores"
)

// TestMain makes this program a second process that holds an image, when
// started by hold.
func TestMain(m *testing.M) {
	path, ok := os.LookupEnv("BACKSTORES_HOLD")
	if !ok {
		os.Exit(m.Run())
	}
	_, readOnly := os.LookupEnv("BACKSTORES_READONLY")
	if _, err := backstores.Open(path, backstores.Options{ReadOnly: readOnly}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	bufio.NewReader(os.Stdin).ReadString('\n') // until hold's test ends
}

// hold has another process open path, until the end of the test or until
// release is called. It returns the process's id.
func hold(t *testing.T, path string, readOnly bool) (pid int, release func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "BACKSTORES_HOLD="+path)
	if readOnly {
		cmd.Env = append(cmd.Env, "BACKSTORES_READONLY=1")
	}
	return start(t, cmd, "", "open")
}

// start starts a command that lives until its stdin ends, says something to it,
// and waits for the answer.
func start(t *testing.T, cmd *exec.Cmd, say, ready string) (pid int, release func()) {
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
		if strings.Contains(lines.Text(), ready) {
			return cmd.Process.Pid, release
		}
		t.Logf("%s: %s", cmd.Path, lines.Text())
	}
	t.Fatalf("%s ended before it said %q", cmd.Path, ready)
	return 0, nil
}

// lacks skips a test for which this machine lacks something, and fails it
// where all is to be tested.
func lacks(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		lacks(t, "root", errors.New("not root"))
	}
}

// run runs a command and returns its output.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		lacks(t, "command", err)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// mount mounts a new file system for the time of the test.
func mount(t testing.TB, source, fstype string, flags uintptr, data string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount(source, dir, fstype, flags, data); err != nil {
		lacks(t, "mount "+fstype, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// loop makes a block device of a new sparse file. The arguments are losetup's.
func loop(t testing.TB, size int64, args ...string) (dev, file string) {
	t.Helper()
	needRoot(t)
	file = newFile(t, t.TempDir(), size)
	out, err := exec.Command("losetup", append([]string{"--find", "--show", file}, args...)...).CombinedOutput()
	if err != nil {
		lacks(t, "losetup", fmt.Errorf("%w: %s", err, out))
	}
	dev = strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "--detach", dev) })
	return dev, file
}

// newFile makes a sparse file.
func newFile(t testing.TB, dir string, size int64) string {
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

// openAs opens path until the end of the test.
func openAs(t testing.TB, path string, o backstores.Options) backstores.Backstore {
	t.Helper()
	s, err := backstores.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// wantError checks that err is this one line; PATH stands for path.
func wantError(t *testing.T, err error, path, want string) {
	t.Helper()
	want = expand(want, path)
	if err == nil {
		t.Errorf("no error, want %q", want)
	} else if err.Error() != want {
		t.Errorf("error %q,\n want %q", err, want)
	}
}

func expand(want, path string) string { return strings.ReplaceAll(want, "PATH", path) }
