package main

import (
	"context"
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
)

// exitStatus is the error of a command that told by its exit status alone what
// became of it, and so needs no line of ours.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// commandFlags name the command to run while the disks are there.
type commandFlags struct {
	Line    line     `name:"run" common:"" placeholder:"LINE" help:"Run a line of shell, end when it ends, and exit as it does. It finds the disk in $$dev; so does a command after the images and --."`
	Command []string `kong:"-"`
}

// A line is one of shell. An empty one is refused: it is what a variable left,
// and without a command lunserve serves on.
type line string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (l *line) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("is empty; give a line of shell")
	}
	*l = line(text)
	return nil
}

// any tells whether there is one.
func (c *commandFlags) any() bool { return c.Line != "" || len(c.Command) > 0 }

// check looks for the program, so that a typing error is found early.
func (c *commandFlags) check() error {
	if c.Line != "" && len(c.Command) > 0 {
		return misuse("--run and a command after --; give one of them")
	}
	if len(c.Command) == 0 {
		return nil
	}
	if _, err := exec.LookPath(c.Command[0]); err != nil {
		return unrunnable(err)
	}
	return nil
}

// unrunnable tells why a command cannot be run, and is the status that a shell
// has for that.
func unrunnable(err error) error {
	con.Error(err)
	if errors.Is(err, exec.ErrNotFound) {
		return exitStatus(127)
	}
	return exitStatus(126)
}

// A child is the command that runs while the disks are there.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
	err   error         // of cmd.Wait, from then on
	first bool          // it ended before the service did
}

// start starts the command, if there is one. The disks' names are in its
// environment. It is ended with the service, if it has not before: by SIGTERM,
// and if it does not heed that, by SIGKILL.
func (c *commandFlags) start(s *service, down *undo) error {
	if !c.any() {
		return nil
	}
	args := c.Command
	if c.Line != "" {
		args = []string{"/bin/sh", "-c", string(c.Line)}
	}
	ctx, end := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(slices.DeleteFunc(os.Environ(), notInherited), environment(s.exports)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		end()
		return unrunnable(err) // a script, of which no program can be found that reads it
	}
	s.child = &child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(s.child.ended)
		s.child.err = cmd.Wait()
	}()
	down.push(func() error {
		end()
		<-s.child.ended
		return nil
	})
	return nil
}

// notInherited tells whether a variable is not for the command: names of disks
// that are not ours, as of a lunserve that has started this one, and the service
// manager's, which is told by us.
func notInherited(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	base, n, numbered := strings.Cut(name, "_")
	if _, err := strconv.ParseUint(n, 10, 0); numbered && err != nil {
		base = name
	}
	return slices.Contains([]string{"dev", "sg", "lun", "iqn", "portal", "uri", "wwpn", "LUNSERVE_DEV", "NOTIFY_SOCKET"}, base)
}

// environment names the disks: dev_0, dev_1 and so on, and the first as dev,
// too.
func environment(exports []*export) (env []string) {
	for i, x := range exports {
		names := map[string]string{
			"dev": x.node, "sg": x.generic(), "lun": fmt.Sprint(x.lun),
			"iqn": x.iqn, "portal": x.portal, "uri": x.uri(), "wwpn": x.wwpn,
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
	if x := exports[0]; x.node != "" {
		env = append(env, "LUNSERVE_DEV="+x.node)
	}
	slices.Sort(env)
	return env
}

// result is the exit status of a command that has ended, by itself or with the
// service.
func (c *child) result() error {
	if errors.Is(c.err, context.Canceled) {
		return nil // with 0, asked to end
	}
	return status(c.cmd, c.err)
}

// title is what a person knows the command by.
func (c *child) title() string {
	return fmt.Sprintf("%s (pid %d)", filepath.Base(c.cmd.Path), c.cmd.Process.Pid)
}

// pass gives a signal to the command. ^C at a terminal has gone to all of its
// foreground, the command among them, and would count twice.
func (c *child) pass(sig os.Signal) {
	if sig == os.Interrupt || sig == syscall.SIGQUIT {
		if tty, err := os.Open("/dev/tty"); err == nil {
			defer tty.Close()
			if group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
				return
			}
		}
	}
	_ = c.cmd.Process.Signal(sig) // of one that has ended we hear in ended
}

// status is a command's exit status, as a shell has it. The error is that of
// its Wait.
func status(cmd *exec.Cmd, err error) error {
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	if ws := failed.Sys().(syscall.WaitStatus); ws.Signaled() {
		return exitStatus(128 + int(ws.Signal()))
	}
	return exitStatus(failed.ExitCode())
}
