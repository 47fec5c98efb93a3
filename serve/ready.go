package serve

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

// ready announces the disks and starts the command. If a foreground process
// waits, ready then moves this one to the background.
func (s *service) ready(waiting *os.File, down *configfs.Undo) ending {
	s.started = time.Now()
	if s.taken != nil {
		s.started = s.taken.Started
	}
	for _, d := range s.disks {
		d.started = s.started
	}
	if err := s.startFaults(down); err != nil {
		return failure(err)
	}
	s.listen(down)
	if err := s.announce(down); err != nil {
		return failure(err)
	}
	for _, d := range s.disks {
		d.image.starting = false // it is the user's now
	}
	if len(s.options.Command) > 0 {
		if err := s.startCommand(down); err != nil {
			return failure(err)
		}
	}
	if waiting != nil {
		_ = s.events.flush() // a reader that has stopped ends no service
		if err := release(waiting, s.console); err != nil {
			return failure(err)
		}
	}
	if s.taken != nil {
		s.tookOver()
	}
	down.Push(s.reports.Close)
	s.startReports() // to a terminal only if it is still ours
	return ending{}
}

// listen makes the control socket. Disks work without it.
func (s *service) listen(down *configfs.Undo) {
	down.For("control socket").Push(func() error { // may wait for a resize
		if s.control == nil {
			return nil
		}
		return s.control.Close()
	})
	var err error
	if s.taken != nil && s.taken.Control >= 0 {
		s.control, err = control.Inherit(os.NewFile(uintptr(s.taken.Control), "the control socket"), host{s}, s.unreachable)
	} else {
		s.control, err = control.Listen(configfs.Self(), host{s}, s.unreachable)
	}
	control.Sweep()
	if err != nil {
		s.unreachable(err)
	}
}

func (s *service) unreachable(err error) {
	s.console.Warn(fmt.Errorf("lunserve list, stats, resize, fault, powercut and detach cannot reach this process: %w", err))
}

// announce writes the pid file, notifies the service manager, and prints the
// addresses of the disks: on standard output, unless a command writes to that.
func (s *service) announce(down *configfs.Undo) error {
	if err := s.writePIDFile(); err != nil {
		return err
	}
	if err := notify("READY=1"); err != nil {
		s.console.Warn(err) // the manager may have exited; the disks work
	} else {
		down.Push(func() error { return notify("STOPPING=1") })
	}
	if s.role == starting {
		s.sayElsewhere()
	}
	switch {
	case s.role == upgrading:
		_ = s.events.emit(Event{Event: "upgraded", Disks: s.states()}) // an error shows again at the end
		return nil
	case len(s.options.Command) > 0:
		for _, line := range lines(s.disks) {
			s.console.Say("%s", line)
		}
		return nil
	case s.role == succeeding && !s.options.JSON:
		return nil // the server before has printed them
	case s.options.JSON:
		return s.events.emit(Event{Event: "ready", Disks: s.states()})
	}
	return s.printLines(os.Stdout)
}

// printLines prints the addresses. A reader that has stopped may read them later:
// that ends no service, and so Close, whose only error it is, may fail.
func (s *service) printLines(to io.Writer) error {
	stdout := console.NewWriter(to)
	defer stdout.Close()
	for _, line := range lines(s.disks) {
		if err := stdout.Lines(line); err != nil {
			return err
		}
	}
	return nil
}

// notify notifies the service manager, if one has started this process; see
// sd_notify(3).
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
