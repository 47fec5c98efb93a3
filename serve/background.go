package serve

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/guard"
)

// readyFD is the environment variable that gives a background process the
// descriptor of a pipe. The foreground process waits for a byte at the other
// end.
const readyFD = "LUNSERVE_READY_FD"

// background returns that pipe, or nil in a foreground process. Child processes
// do not inherit it.
func background() *os.File {
	fd, err := strconv.Atoi(os.Getenv(readyFD))
	if err != nil {
		return nil
	}
	os.Unsetenv(readyFD)
	unix.CloseOnExec(fd)
	guard.SetName("lunserve")
	return os.NewFile(uintptr(fd), "the pipe to the process in the foreground")
}

// fork starts this program again in a session of its own, passes signals on to
// it, and returns when that process has announced its disks or ended.
func fork(signals <-chan os.Signal) error {
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), readyFD+"=3")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = errors.Join(cmd.Start(), theirs.Close())
	if err != nil {
		return errors.Join(err, ready.Close())
	}
	announced := make(chan bool)
	go func() {
		n, _ := ready.Read(make([]byte, 1))
		announced <- n > 0
	}()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // if it has ended, the pipe says so
		case ok := <-announced:
			if err := ready.Close(); err != nil || ok {
				return err
			}
			if err := cmd.Wait(); cmd.ProcessState == nil {
				return err
			}
			return exitStatus(cmd.ProcessState)
		}
	}
}

// release lets the foreground process exit, and replaces the standard streams
// by /dev/null, so that readers of the output see its end. From now on messages
// go to the system's log.
func release(waiting *os.File, c *console.Console) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	c.UseSyslog("lunserve")
	for std := range 3 {
		if err := unix.Dup3(int(null.Fd()), std, 0); err != nil {
			return err
		}
	}
	_, err = waiting.Write([]byte{'\n'})
	return errors.Join(err, waiting.Close(), os.Chdir("/"))
}
