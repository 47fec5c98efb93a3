package inuse

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenersHaveTheFileOpen(t *testing.T) {
	f := newFake(t)
	for pid, path := range map[string]string{"100": "dev/vhost-scsi", "9": "dev/vhost-scsi", "11": "dev/null"} {
		f.file("proc/"+pid+"/comm", "qemu-system-x86\n")
		f.link("dev/null", "proc/"+pid+"/fd/0")
		f.link(path, "proc/"+pid+"/fd/3")
		f.link(path, "proc/"+pid+"/fd/4")
	}
	want := []Process{{9, "qemu-system-x86"}, {100, "qemu-system-x86"}}
	if got := f.Openers(f.Dev + "/vhost-scsi"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestProcessesAreFoundByName(t *testing.T) {
	f := newFake(t)
	f.file("proc/9/comm", "tcmu-runner\n")
	f.file("proc/10/comm", "tcmu-runner2\n")
	if got, want := f.Named("tcmu-runner"), []Process{{9, "tcmu-runner"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A process in a container has one id for itself and another in the host's proc.
func TestSelfIsTheIDThatProcShows(t *testing.T) {
	f := newFake(t)
	if got := f.Self(); got != os.Getpid() {
		t.Errorf("without proc: %d", got)
	}
	os.MkdirAll(f.Proc, 0o755)
	if err := os.Symlink("4242", f.Proc+"/self"); err != nil {
		t.Fatal(err)
	}
	if got := f.Self(); got != 4242 {
		t.Errorf("got %d", got)
	}
}

// The lock is this process's. It is found unless its descriptor is ignored.
func TestHolderOfALockIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 100, Len: 2}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]bool{99: false, 100: true, 101: true, 102: false} {
		p, ok := LockHolder(&st, at, -1)
		if ok != want || ok && p.PID != Self() {
			t.Errorf("byte %d: %v, %v", at, p, ok)
		}
	}
	if p, ok := LockHolder(&st, 100, int(f.Fd())); ok {
		t.Errorf("%v holds it besides our descriptor", p)
	}
	other := st
	other.Ino++
	if p, ok := LockHolder(&other, 100, -1); ok {
		t.Errorf("%v holds a lock on another file", p)
	}
}

// The descriptor to ignore is only this process's.
func TestHolderWithTheSameDescriptorIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cmd := exec.Command("python3", "-c", `
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 1, 100)
print(fd, flush=True)
sys.stdin.read()`, path)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	fd := int(strings.TrimSpace(line)[0] - '0')
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	if p, ok := LockHolder(&st, 100, fd); !ok || p.PID != cmd.Process.Pid {
		t.Errorf("%v, %v; want pid %d", p, ok, cmd.Process.Pid)
	}
}

func TestLocksAreReadFromFdinfo(t *testing.T) {
	for _, tt := range []struct {
		line string
		want bool
	}{
		{"lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:9978001 100 101", true},
		{"lock:\t1: POSIX  ADVISORY  WRITE 12 fe:00:9978001 0 EOF", true},
		{"lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:9978001 101 EOF", false},
		{"lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:9978001 0 99", false},
		{"lock:\t1: FLOCK  ADVISORY  WRITE 12 fe:00:9978001 0 EOF", false},
		{"lock:\t1: OFDLCK", false},
		{"lock:\t1: OFDLCK ADVISORY READ -1 fe:00:9978001 x EOF", false},
		{"flags:\t0100002", false},
		{"", false},
	} {
		if got := hasLock("pos:\t0\n"+tt.line+"\n", 100); got != tt.want {
			t.Errorf("%q: %v", tt.line, got)
		}
	}
}
