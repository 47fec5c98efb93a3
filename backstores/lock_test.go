package backstores_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

var (
	reading = backstores.Options{ReadOnly: true}
	writing = backstores.Options{}
)

// name is what the kernel calls this program.
func name(t *testing.T) string {
	t.Helper()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(comm))
}

func TestWriterExcludesAllAndIsNamed(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	pid, release := hold(t, path, false)
	want := fmt.Sprintf("PATH: locked by %s (pid %d)", name(t), pid)
	_, err := backstores.Open(path, writing)
	wantError(t, err, path, want)
	_, err = backstores.Open(path, reading)
	wantError(t, err, path, want)
	release()
	openAs(t, path, writing)
}

func TestReadersShareAndExcludeWriters(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	pid, release := hold(t, path, true)
	openAs(t, path, reading).Close()
	_, err := backstores.Open(path, writing)
	wantError(t, err, path, fmt.Sprintf("PATH: locked by %s (pid %d); try lunserve -r PATH", name(t), pid))
	release()
	openAs(t, path, writing)
}

func TestImageGivenTwice(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	s := openAs(t, path, writing)
	_, err := backstores.Open(path, writing)
	wantError(t, err, path, "PATH: open here already; give each image once")
	// The one that came first has lost nothing by that.
	_, err = backstores.Open(path, reading)
	wantError(t, err, path, "PATH: open here already; give each image once")
	s.Close()
	openAs(t, path, reading)
	openAs(t, path, reading)
}

func TestLockOfThoseWhoKnowNoProtocol(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &all); err != nil {
		t.Fatal(err)
	}
	_, err = backstores.Open(path, reading)
	wantError(t, err, path, "PATH: open here already; give each image once")
}

// qemuHolds has qemu-io open path until the end of the test or release.
func qemuHolds(t *testing.T, path string, args ...string) (pid int, release func()) {
	t.Helper()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		lacks(t, "qemu-utils", err)
	}
	return start(t, exec.Command("qemu-io", append(append([]string{"-f", "raw"}, args...), path)...), "length\n", "KiB")
}

// qemuOpens tells whether qemu-io may open path, and what it says if not.
func qemuOpens(t *testing.T, path string, args ...string) (string, bool) {
	t.Helper()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		lacks(t, "qemu-utils", err)
	}
	args = append(append([]string{"-f", "raw"}, args...), "-c", "read 0 512", path)
	out, err := exec.Command("qemu-io", args...).CombinedOutput()
	return string(out), err == nil
}

func TestQemuWriterExcludesUs(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	pid, release := qemuHolds(t, path)
	want := fmt.Sprintf("PATH: locked by qemu-io (pid %d)", pid)
	_, err := backstores.Open(path, writing)
	wantError(t, err, path, want)
	_, err = backstores.Open(path, reading)
	wantError(t, err, path, want)
	release()
	openAs(t, path, writing)
}

func TestWeExcludeQemuWriters(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	for _, o := range []backstores.Options{writing, reading} {
		s := openAs(t, path, o)
		if out, ok := qemuOpens(t, path); ok || !strings.Contains(out, "lock") {
			t.Errorf("qemu writes what we have open as %+v: %s", o, out)
		}
		if out, ok := qemuOpens(t, path, "-r"); !ok {
			t.Errorf("qemu may not read what we have open as %+v: %s", o, out)
		}
		s.Close()
	}
	if out, ok := qemuOpens(t, path); !ok {
		t.Errorf("qemu may not write what we have closed: %s", out)
	}
}

func TestQemuReadersShareWithUs(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	qemuHolds(t, path, "-r")
	openAs(t, path, reading)
}
