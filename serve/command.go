package serve

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
)

// A command runs while the disks are served. A nil *command means that there is
// none.
type command struct {
	process *os.Process
	args    []string
	ended   chan struct{} // closed when the command has ended
}

// killAfter is the time that a command has to end after SIGTERM.
const killAfter = 5 * time.Second

// startCommand starts the command, or goes on with that of the program before.
func (s *service) startCommand(down *configfs.Undo) error {
	if s.taken == nil {
		return s.run(s.options.Command, down)
	}
	p, err := os.FindProcess(s.taken.Command)
	if err == nil {
		s.watchCommand(p, s.options.Command, down)
	}
	return err
}

// run starts the command with the disks in its environment. When the service ends
// first, the command gets SIGTERM and, 5 s later, SIGKILL.
func (s *service) run(args []string, down *configfs.Undo) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isOurs), environment(s.disks)...)
	if err := s.standing.start(cmd); err != nil {
		return NotRunnable(err) // such as a script whose interpreter does not exist
	}
	s.watchCommand(cmd.Process, args, down)
	return nil
}

// watchCommand makes a child of this process the command.
func (s *service) watchCommand(p *os.Process, args []string, down *configfs.Undo) {
	c := &command{process: p, args: args, ended: make(chan struct{})}
	s.command = c
	go func() {
		defer close(c.ended)
		// It stays a child, so that its status is there for the program that
		// this process may execute meanwhile.
		for unix.Waitid(unix.P_PID, p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	down.Push(func() error {
		select {
		case <-c.ended:
			return nil
		default:
		}
		_ = p.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(killAfter, func() { _ = p.Kill() })
		defer kill.Stop()
		select {
		case <-c.ended:
			return nil
		case <-time.After(2 * killAfter): // in the kernel, perhaps for one of the disks
			return fmt.Errorf("%s: was killed, and has not ended", c.title())
		}
	})
}

// A NotRunnableError is the error of a command that could not be started.
type NotRunnableError struct{ error }

// NotRunnable returns err as a [NotRunnableError].
func NotRunnable(err error) error { return NotRunnableError{err} }

// Unwrap returns the reason.
func (e NotRunnableError) Unwrap() error { return e.error }

// Status returns the exit status that a shell would return.
func (e NotRunnableError) Status() ExitStatus {
	if errors.Is(e.error, exec.ErrNotFound) {
		return 127
	}
	return 126
}

// end returns a channel that is closed when the command has ended. Without a
// command it is never closed.
func (c *command) end() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.ended
}

// status returns the exit status of a command that has ended, on its own or
// with the service. It is nil if the status is 0 or there is no command.
func (c *command) status() error {
	if c == nil {
		return nil
	}
	select {
	case <-c.ended:
	default:
		return nil
	}
	state, err := c.process.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(c.args, " "), err)
	}
	return exitStatus(state)
}

// exitStatus returns the status of a process as a shell reports it.
func exitStatus(state *os.ProcessState) error {
	ws := state.Sys().(syscall.WaitStatus)
	switch {
	case ws.Signaled():
		return ExitStatus(128 + int(ws.Signal()))
	case ws.ExitStatus() != 0:
		return ExitStatus(ws.ExitStatus())
	}
	return nil
}

// title names the command for people.
func (c *command) title() string {
	return fmt.Sprintf("%s (pid %d)", filepath.Base(c.args[0]), c.process.Pid)
}

// signal sends the command a signal. The terminal has already sent ^C and ^\ to
// its whole foreground process group, so the command must not get them a second
// time.
func (c *command) signal(sig os.Signal) {
	if sig == os.Interrupt || sig == syscall.SIGQUIT {
		if tty, err := os.Open("/dev/tty"); err == nil {
			defer tty.Close()
			if group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
				return
			}
		}
	}
	_ = c.process.Signal(sig) // if it has ended, that shows elsewhere
}

// isOurs reports whether a command must not inherit an environment variable:
// lunserve sets it, so it comes from another lunserve that started this one, or
// it names the socket of the service manager, which only this process notifies.
func isOurs(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	base, n, numbered := strings.Cut(name, "_")
	if _, err := strconv.ParseUint(n, 10, 0); numbered && err != nil {
		base = name
	}
	return slices.Contains([]string{"dev", "mnt", "sg", "lun", "iqn", "portal", "uri", "wwpn", "LUNSERVE_DEV", mountVar, "NOTIFY_SOCKET"}, base)
}

// environment returns the variables that describe the disks: dev_0, dev_1 and
// so on, and also dev for the first.
func environment(disks []*disk) (env []string) {
	for i, d := range disks {
		a := d.address
		names := map[string]string{
			"dev": a.node, "mnt": d.mounted, "sg": a.generic(), "lun": fmt.Sprint(a.lun),
			"iqn": a.iqn, "portal": a.portal, "uri": a.uri(), "wwpn": a.wwpn,
		}
		for name, value := range names {
			if value == "" {
				continue
			}
			env = append(env, fmt.Sprintf("%s_%d=%s", name, i, value))
			if i == 0 {
				env = append(env, name+"="+value)
			}
		}
	}
	if node := disks[0].address.node; node != "" {
		env = append(env, "LUNSERVE_DEV="+node)
	}
	slices.Sort(env)
	return env
}
