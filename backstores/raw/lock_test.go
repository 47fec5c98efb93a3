package raw_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
)

var (
	reading = raw.Options{ReadOnly: true}
	writing = raw.Options{}
)

// TestMain makes this program the second process that hold starts.
func TestMain(m *testing.M) {
	path, ok := os.LookupEnv("LUNSERVE_TEST_HOLD")
	if !ok {
		os.Exit(m.Run())
	}
	_, readOnly := os.LookupEnv("LUNSERVE_TEST_READONLY")
	if _, err := raw.Open(context.Background(), path, raw.Options{ReadOnly: readOnly}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	bufio.NewReader(os.Stdin).ReadString('\n') // until the test ends
}

// hold opens path in another process, until the end of the test or until release
// is called, and returns the process's ID.
func hold(t *testing.T, path string, readOnly bool) (pid int, release func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "LUNSERVE_TEST_HOLD="+path)
	if readOnly {
		cmd.Env = append(cmd.Env, "LUNSERVE_TEST_READONLY=1")
	}
	return storetest.Start(t, cmd, "", "open")
}

func TestWriterExcludesEveryoneAndIsNamed(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	pid, release := hold(t, path, false)
	want := fmt.Sprintf("PATH: locked by %s (pid %d)", storetest.ProcessName(t), pid)
	_, err := raw.Open(context.Background(), path, writing)
	storetest.WantError(t, err, path, want)
	_, err = raw.Open(context.Background(), path, reading)
	storetest.WantError(t, err, path, want)
	release()
	open(t, path, writing)
}

func TestReadersShareAndExcludeWriters(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	pid, release := hold(t, path, true)
	open(t, path, reading).Close()
	_, err := raw.Open(context.Background(), path, writing)
	storetest.WantError(t, err, path, fmt.Sprintf("PATH: locked by %s (pid %d); try --read-only", storetest.ProcessName(t), pid))
	release()
	open(t, path, writing)
}

func TestImageGivenTwice(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	s := open(t, path, writing)
	_, err := raw.Open(context.Background(), path, writing)
	storetest.WantError(t, err, path, "PATH: already open in this process; give each image once")
	// The first keeps its locks.
	_, err = raw.Open(context.Background(), path, reading)
	storetest.WantError(t, err, path, "PATH: already open in this process; give each image once")
	s.Close()
	open(t, path, reading)
	open(t, path, reading)
}

func TestLockOfTheWholeFileExcludesUs(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &all); err != nil {
		t.Fatal(err)
	}
	_, err = raw.Open(context.Background(), path, reading)
	storetest.WantError(t, err, path, "PATH: already open in this process; give each image once")
}

// qemuHolds opens path in qemu-io until the end of the test or until release is
// called.
func qemuHolds(t *testing.T, path string, args ...string) (pid int, release func()) {
	t.Helper()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		storetest.Missing(t, "qemu-utils", err)
	}
	return storetest.Start(t, exec.Command("qemu-io", append(append([]string{"-f", "raw"}, args...), path)...), "length\n", "KiB")
}

// qemuOpens reports whether qemu-io can open path, and what it printed.
func qemuOpens(t *testing.T, path string, args ...string) (string, bool) {
	t.Helper()
	if _, err := exec.LookPath("qemu-io"); err != nil {
		storetest.Missing(t, "qemu-utils", err)
	}
	args = append(append([]string{"-f", "raw"}, args...), "-c", "read 0 512", path)
	out, err := exec.Command("qemu-io", args...).CombinedOutput()
	return string(out), err == nil
}

func TestQemuWriterExcludesUs(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	pid, release := qemuHolds(t, path)
	want := fmt.Sprintf("PATH: locked by qemu-io (pid %d)", pid)
	_, err := raw.Open(context.Background(), path, writing)
	storetest.WantError(t, err, path, want)
	_, err = raw.Open(context.Background(), path, reading)
	storetest.WantError(t, err, path, want)
	release()
	open(t, path, writing)
}

func TestWeExcludeQemuWriters(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	for _, o := range []raw.Options{writing, reading} {
		s := open(t, path, o)
		if out, ok := qemuOpens(t, path); ok || !strings.Contains(out, "lock") {
			t.Errorf("qemu-io can write an image that is open with %+v: %s", o, out)
		}
		if out, ok := qemuOpens(t, path, "-r"); !ok {
			t.Errorf("qemu-io cannot read an image that is open with %+v: %s", o, out)
		}
		s.Close()
	}
	if out, ok := qemuOpens(t, path); !ok {
		t.Errorf("qemu-io cannot write an image that is closed: %s", out)
	}
}

func TestQemuReadersShareWithUs(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	qemuHolds(t, path, "-r")
	open(t, path, reading)
}

// The callers of OpenRegular cannot open the file read-only instead, so its error does
// not propose that.
func TestRegularFileInUseHasNoReadOnlyHint(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	pid, release := hold(t, path, true)
	defer release()
	_, err := raw.OpenRegular(path, false)
	storetest.WantError(t, err, path, fmt.Sprintf("PATH: locked by %s (pid %d)", storetest.ProcessName(t), pid))
}
