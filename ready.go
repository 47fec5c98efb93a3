package main

import (
	"errors"
	"fmt"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// readyFlags say who else is told that the disks can be used, and by whose end
// the service ends, too.
type readyFlags struct {
	Fork           bool   `common:"" help:"Go to the background when the disks can be used; exit 0."`
	PIDFile        string `name:"pid-file" placeholder:"FILE" complete:"file" help:"Write the process id to FILE when the disks can be used. It is removed at exit."`
	ExitWithParent bool   `help:"End when the process that started this one does."`

	written string // the absolute path of PIDFile, once it is there
}

// ready tells all who want to know that the disks can be used, and starts the
// command.
func (c *serveCmd) ready(s *service, waiting *os.File, down *undo) error {
	s.started = time.Now()
	for _, x := range s.exports {
		x.started = s.started
	}
	unreachable := func(err error) {
		con.Warn(fmt.Errorf("lunserve list, detach, resize and stats do not reach this process: %w", err))
	}
	detachments := make(chan detachment)
	if server, err := control.Listen(os.Getpid(), host{s, detachments}, unreachable); err != nil {
		unreachable(err)
	} else {
		s.detach = detachments
		down.push(server.Close)
	}
	if err := c.readyFlags.announce(down); err != nil {
		return err
	}
	switch {
	case c.commandFlags.any():
		for _, line := range lines(s.exports) {
			con.Say("%s", line)
		}
	case c.JSON:
		if err := events.emit(event{Event: "ready", Disks: s.states()}); err != nil {
			return err
		}
	default:
		stdout := console.NewWriter(os.Stdout)
		for _, line := range lines(s.exports) {
			if _, err := fmt.Fprintln(stdout, line); err != nil {
				return err
			}
		}
	}
	for _, x := range s.exports {
		x.created = false // it is the user's now
	}
	if err := c.commandFlags.start(s, down); err != nil {
		return err
	}
	if waiting != nil {
		if err := release(waiting); err != nil {
			return err
		}
	}
	c.reportFlags.start(s, down) // to a terminal only if that is still ours
	return nil
}

// announce tells whoever waits that the disks can be used.
func (f *readyFlags) announce(down *undo) error {
	if f.PIDFile != "" {
		path, err := filepath.Abs(f.PIDFile)
		if err == nil {
			err = os.WriteFile(path, fmt.Appendln(nil, os.Getpid()), 0o644)
		}
		if err != nil {
			return err
		}
		f.written = path
	}
	if err := notify("READY=1"); err != nil {
		con.Warn(err) // of somebody who has gone: the disk is there all the same
		return nil
	}
	down.push(func() error { return notify("STOPPING=1") })
	return nil
}

// notify tells the service manager, if one has started us; see sd_notify(3).
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.Dial("unixgram", name)
	if err != nil {
		return fmt.Errorf("$NOTIFY_SOCKET: %w", err)
	}
	defer c.Close()
	_, err = io.WriteString(c, state)
	return err
}

// remove removes the file with the process id. It goes last: scripts take that
// for the end.
func (f *readyFlags) remove() error {
	if f.written == "" {
		return nil
	}
	if err := os.Remove(f.written); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
