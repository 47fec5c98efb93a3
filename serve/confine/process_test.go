package confine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hook is the environment variable that makes this program the process that is
// confined: it has the folder where that may work.
const hook = "LUNSERVE_TEST_CONFINED"

func TestMain(m *testing.M) {
	dir := os.Getenv(hook)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := confined(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// A fault in a confined process cannot open, execute, connect or mount, from no
// thread and in no process that it starts, and what is given to it works.
func TestConfinedProcess(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "given/file"))
	write(t, filepath.Join(dir, "secret"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command(static(t))
	cmd.Env = append(os.Environ(), hook+"="+dir, "PORT="+l.Addr().String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte("text"), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// static returns this program without cgo, which the race detector needs, and
// which cannot be confined.
func static(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "confine.test")
	cmd := exec.Command("go", "test", "-c", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// confined confines this process, and returns what is wrong then.
func confined(dir string) error {
	if os.Getenv("AGAIN") != "" { // a child of the confined process
		return refusals(dir, landlockABI() > 0)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	given := filepath.Join(dir, "given")
	open, err := os.Open(filepath.Join(dir, "secret"))
	if err != nil {
		return err
	}
	const threads = 8
	before, after, done := make(chan bool), make(chan bool), make(chan error)
	for range threads { // that exist already
		go func() {
			runtime.LockOSThread()
			before <- true
			<-after
			done <- refusals(dir, landlockABI() > 0)
		}()
	}
	for range threads {
		<-before
	}

	s, err := Process(Limits{
		Paths: []Path{
			{given, Read | Write | Make | Remove},
			{self, Read | Execute},
			{"/proc", Read},
			{"/dev/null", Read | Write},
			{filepath.Join(dir, "missing"), Read},
		},
		Capabilities: []int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE},
	})
	fmt.Println(s)
	errs := []error{err}
	if offered := Offered(); s != offered {
		errs = append(errs, fmt.Errorf("the kernel offers %v", offered))
	}
	close(after)
	for range threads {
		errs = append(errs, <-done)
	}
	if _, err := open.Read(make([]byte, 4)); err != nil {
		errs = append(errs, fmt.Errorf("what is open stays: %w", err))
	}
	errs = append(errs, uses(given), capabilities("CapPrm", 0b11), capabilities("CapEff", 0b11))

	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "AGAIN=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("in a child: %w\n%s", err, out))
	}
	// The same again, as the next program of the process does.
	_, err = Process(Limits{Paths: []Path{{given, Read | Write | Make | Remove}}, Capabilities: []int{unix.CAP_CHOWN}})
	errs = append(errs, err, uses(given))
	return errors.Join(errs...)
}

// refusals returns an error if something succeeds, or fails for another reason.
func refusals(dir string, landlock bool) error {
	open := func(path string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	errs := []error{}
	for _, r := range []struct {
		what     string
		landlock bool
		do       func() error
		want     error
	}{
		{"open /etc/shadow", true, open("/etc/shadow", unix.O_RDONLY), unix.EACCES},
		{"open a file beside", true, open(filepath.Join(dir, "secret"), unix.O_RDONLY), unix.EACCES},
		{"make a file beside", true, open(filepath.Join(dir, "new"), unix.O_WRONLY|unix.O_CREAT), unix.EACCES},
		{"write to /proc", true, open("/proc/self/comm", unix.O_WRONLY), unix.EACCES},
		{"remove a file beside", true, func() error { return unix.Unlink(filepath.Join(dir, "secret")) }, unix.EACCES},
		{"look at the files of another process", true, func() error {
			_, err := os.Readlink("/proc/1/cwd")
			return err
		}, unix.EACCES},
		{"execute", true, func() error { return exec.Command("/bin/true").Run() }, unix.EACCES},
		{"connect", false, func() error {
			_, err := net.Dial("tcp", os.Getenv("PORT"))
			return err
		}, unix.EPERM},
		{"mount", false, func() error { return unix.Mount("none", dir, "tmpfs", 0, "") }, unix.EPERM},
		{"ptrace", false, func() error { return unix.PtraceSeize(os.Getppid()) }, unix.EPERM},
		{"bpf", false, func() error {
			_, _, e := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
			return e
		}, unix.EPERM},
	} {
		if r.landlock && !landlock || !r.landlock && arch == 0 {
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
			return fmt.Errorf("%s: %s is %x, want %x; %v", task, set, has, want, errors.Join(err, err2))
		}
	}
	return nil
}

// An older kernel gets none of the rights that it does not know.
func TestRightsOfEachABI(t *testing.T) {
	for abi, want := range map[int]uint64{1: 1<<13 - 1, 2: 1<<14 - 1, 3: 1<<15 - 1, 4: 1<<15 - 1, 5: 1<<16 - 1, 9: 1<<16 - 1} {
		if got := handled(abi); got != want {
			t.Errorf("ABI %d: %x, want %x", abi, got, want)
		}
	}
}
