package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
)

// An upgrade executes the program that lies at the path of this one, with the same
// arguments, in this process. Its disks stay, and their users only wait. If it
// cannot be done, this program goes on, and prints why.
//
// First it is prepared, beside the service: whatever touches a file may wait for
// storage, and nothing has been given up yet. What the service does then takes a
// limited time, because users of the disks wait for it. Everything that may fail
// comes before the execve. Should the new program fail nevertheless, it exits: the
// guard sees the end of its socket, and does what it does after a kill.

const (
	haltTime        = 3 * time.Second // that users of disks wait at most
	slowTime        = time.Second     // after which a command that waits for storage is likely to take longer than that
	longPreparation = 5 * time.Second // after which a warning says that it goes on
)

// An upgrade is prepared, or cannot be done.
type upgrade struct {
	program string
	handOver
	err error
}

// prepareUpgrade prepares an upgrade, unless one is being prepared. The service gets
// it from s.upgrades.
func (s *service) prepareUpgrade() {
	switch {
	case s.options.Userspace:
		s.notUpgraded(errors.New("the sessions of --userspace cannot be handed over, so restart it"))
		return
	case s.cancelUpgrade != nil:
		s.console.Warn(errPreparing)
		return
	}
	if err := s.waiting(slowTime); err != nil { // the preparation would wait for the same storage
		s.notUpgraded(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancelUpgrade = cancel
	go func() {
		slow := time.AfterFunc(longPreparation, func() { s.console.Warn(errPreparing) })
		defer slow.Stop()
		s.upgrades <- s.prepare(ctx)
	}()
}

var errPreparing = errors.New("not upgraded yet, the disks stay: the new program or the storage of an image does not answer")

// dropUpgrade ends the preparation, or leaves it behind if storage hangs.
func (s *service) dropUpgrade() {
	if s.cancelUpgrade == nil {
		return
	}
	s.cancelUpgrade()
	select {
	case <-s.upgrades:
	case <-time.After(slowTime):
	}
}

// prepare returns an upgrade without what still changes.
func (s *service) prepare(ctx context.Context) *upgrade {
	u := new(upgrade)
	if u.program, u.err = os.Executable(); u.err != nil { // its path when it was started
		return u
	}
	if u.Version, u.err = tryProgram(ctx, u.program, os.Args[1:]); u.err != nil {
		if s.confined.Landlock > 0 && !isAmongPrograms(u.program) && errors.Is(u.err, fs.ErrPermission) {
			u.err = fmt.Errorf("%s: %w: a server executes a new program only in a folder called bin or sbin, so restart it", u.program, fs.ErrPermission)
		}
		return u
	}
	u.err = s.describe(&u.handOver)
	return u
}

// describe fills in what does not change any more, and returns an error if a
// disk cannot be handed over.
func (s *service) describe(h *handOver) error {
	if _, err := os.Stat(s.dir); err != nil {
		return fmt.Errorf("the working directory at the start: %w", err)
	}
	h.Schema, h.Dir, h.Parent, h.Hangup, h.Started = handOverSchema, s.dir, s.parent, bool(s.hangup), s.started
	h.Control, h.Trace, h.Confined = -1, -1, s.confined
	for _, d := range s.disks {
		fd, over, err := image.HandOver(d.image.base, d.image.store)
		if err == nil {
			_, err = d.device.unit.State()
		}
		if err == nil && d.power.outage.Load() != nil {
			err = errNoPower
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d.image.path, err)
		}
		h.Disks = append(h.Disks, &handedOverDisk{
			Name: d.device.kernel.Name(), Ring: d.device.ring.FD(), Image: fd, Overlay: over,
		})
	}
	for _, f := range s.fabrics {
		if f, ok := f.(*kernelISCSI); ok {
			h.CHAP = f.spec.CHAP
		}
	}
	if s.command != nil {
		h.Command = s.command.process.Pid
	}
	if s.tracer != nil && s.tracer.file != nil {
		h.Trace = descriptor(s.tracer.file)
	}
	return nil
}

// upgrade executes the program that was prepared. It returns only if the upgrade is
// impossible, and serves again then.
func (s *service) upgrade(u *upgrade) {
	s.cancelUpgrade()
	s.cancelUpgrade = nil
	if u.err == nil {
		u.err = s.handOverAndExec(u)
	}
	s.notUpgraded(u.err)
}

func (s *service) notUpgraded(why error) {
	s.console.Warn(fmt.Errorf("not upgraded, the disks stay: %w", why))
}

func (s *service) handOverAndExec(u *upgrade) error {
	if err := s.waiting(slowTime); err != nil {
		return err
	}
	tooLong := time.After(haltTime)
	var back configfs.Undo // to this program
	defer back.Close()
	held, err := s.holdSignals()
	if err != nil {
		return err
	}
	u.Signals = held.fd
	back.Push(held.release)
	back.Push(func() error { s.startReports(); return nil })
	s.sample.stop()
	if err := s.reports.Close(); err != nil {
		return err
	}
	if s.control != nil {
		if err := s.handOverControl(u, tooLong, &back); err != nil {
			return err
		}
	}
	if s.guard != nil { // nobody asks it any more
		handed, resume := s.guard.HandOver()
		back.Push(func() error { resume(); return nil })
		u.Guard = handed
	}
	if err := s.flushMessages(); err != nil { // before users wait for it
		return err
	}
	u.Stopped = time.Now()
	if err := s.haltRings(tooLong, &back); err != nil {
		return err
	}
	for i, d := range s.disks {
		if d.power.outage.Load() != nil { // it was cut after describe
			return fmt.Errorf("%s: %w", d.image.path, errNoPower)
		}
		top := d.image.store
		if d.image.cache != nil {
			top = d.image.cache
		}
		if err := image.Owes(top); err != nil {
			return fmt.Errorf("%s: no flush has reported yet that data may be lost: %w", d.image.path, err)
		}
		if u.Disks[i].State, err = d.device.unit.State(); err != nil {
			return fmt.Errorf("%s: %w", d.image.path, err)
		}
		u.Disks[i].Size = d.image.base.Size()
		u.Seed, u.Disks[i].Faults = d.faults.seed, d.faults.handOver()
	}
	memory, err := u.encode()
	if err != nil {
		return err
	}
	defer unix.Close(memory)
	s.warnOfRest()
	if err := s.tracer.flush(); err != nil {
		return err
	}
	if err := s.flushMessages(); err != nil {
		return err
	}
	return execute(u.program, fmt.Sprintf("%s=%d", handOverVar, memory), append(u.descriptors(), memory))
}

// flushMessages returns when what was printed is written. A thread that writes to
// storage which hangs would keep execve waiting, while no ring is served.
func (s *service) flushMessages() error {
	if err := s.events.flush(); err != nil {
		return tryAgain(fmt.Errorf("standard output: %w", err))
	}
	if err := s.console.Flush(); err != nil {
		return tryAgain(fmt.Errorf("standard error: %w", err))
	}
	return nil
}

// handOverControl hands over the control socket when no request is being answered.
func (s *service) handOverControl(u *upgrade, tooLong <-chan time.Time, back *configfs.Undo) error {
	socket, answered, err := s.control.HandOver()
	if socket == nil {
		return err
	}
	u.Control = descriptor(socket)
	back.Push(func() (err error) {
		if s.control, err = s.control.Resume(socket, host{s}, s.unreachable); err != nil {
			s.unreachable(err)
		}
		return nil
	})
	select {
	case <-answered:
		return err
	case <-tooLong:
		return tryAgain(errors.New("lunserve list, stats, resize, fault, powercut or detach is still being answered"))
	}
}
