package serve

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/control"
)

// upgrade executes the program that lies at the path of this one, with the same
// arguments, in this process. Its disks stay, and their users only wait. If it
// cannot be done, this program goes on, and prints why.
//
// Everything that may fail comes before the execve. Should the new program fail
// nevertheless, it exits: the guard, which is still that of this program, sees the
// end of its socket, and does what it does after a kill.
func (s *service) upgrade() {
	if err := s.handOverAndExec(); err != nil {
		s.console.Warn(fmt.Errorf("not upgraded, the disks stay: %w", err))
	}
}

// handOverAndExec returns only if the upgrade is impossible, and serves again then.
func (s *service) handOverAndExec() error {
	h, err := s.handOver()
	if err != nil {
		return err
	}
	program, err := os.Executable() // as it was when this one was started
	if err != nil {
		return err
	}
	if h.Version, err = tryProgram(program, os.Args[1:]); err != nil {
		return err
	}
	// What is dirty is written before the disks stand still, as far as possible.
	for _, d := range s.disks {
		if err := backstores.Flush(d.image.store); err != nil {
			return err
		}
	}

	var back configfs.Undo // to this program
	defer back.Close()
	held, err := s.holdSignals()
	if err != nil {
		return err
	}
	h.Signals = held.fd
	back.Push(held.release)
	if s.guard != nil {
		handed, resume := s.guard.HandOver()
		back.Push(func() error { resume(); return nil })
		if handed.FD >= 0 { // it has not been killed again and again
			h.Guard = &handed
		}
	}
	back.Push(func() error { s.startReports(); return nil })
	s.sample.stop()
	if err := s.reports.Close(); err != nil {
		return err
	}
	if s.control != nil {
		socket, err := s.control.HandOver()
		if socket == nil {
			return err
		}
		h.Control = descriptor(socket)
		back.Push(func() error {
			server, err := control.Inherit(socket, host{s}, s.unreachable)
			if s.control = server; err != nil {
				s.unreachable(err)
			}
			return nil
		})
	}
	_ = s.events.flush() // an error shows again at the end
	_ = s.console.Flush()
	h.Stopped = time.Now()
	back.Push(func() error {
		for _, d := range s.disks {
			s.serveRing(d)
		}
		return nil
	})
	if err := s.haltRings(); err != nil {
		return err
	}
	for i, d := range s.disks {
		if h.Disks[i].State, err = d.device.unit.State(); err != nil {
			return fmt.Errorf("%s: %w", d.image.path, err)
		}
		h.Disks[i].Size = d.image.base.Size()
	}
	memory, err := h.encode()
	if err != nil {
		return err
	}
	defer unix.Close(memory)
	s.warnOfRest()
	s.tracer.flush()
	return execute(program, fmt.Sprintf("%s=%d", handOverVar, memory), append(h.descriptors(), memory))
}

// handOver returns what does not change any more, or an error if a disk cannot be
// handed over.
func (s *service) handOver() (*handOver, error) {
	if _, err := os.Stat(s.dir); err != nil {
		return nil, fmt.Errorf("the working directory at the start: %w", err)
	}
	h := &handOver{Schema: handOverSchema, Dir: s.dir, Parent: s.parent, Hangup: bool(s.hangup), Started: s.started, Control: -1, Trace: -1}
	for _, d := range s.disks {
		fd, over, err := image.HandOver(d.image.base, d.image.layer)
		if err == nil {
			_, err = d.device.unit.State()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.image.path, err)
		}
		h.Disks = append(h.Disks, &handedOverDisk{
			Name: d.device.kernel.Name(), Ring: d.device.ring.FD(), Image: fd, Overlay: over, FullyProvisioned: d.image.fullyProvisioned,
		})
	}
	for _, f := range s.fabrics {
		if f, ok := f.(*iscsi); ok {
			h.CHAP = f.spec.CHAP
		}
	}
	if s.command != nil {
		h.Command = s.command.process.Pid
	}
	if s.tracer != nil && s.tracer.file != nil {
		h.Trace = descriptor(s.tracer.file)
	}
	return h, nil
}

// haltRings returns when all commands that were taken are completed, and what they
// have written is durable. If a flush has failed, only this program knows what may
// be lost.
func (s *service) haltRings() error {
	errs := make([]error, len(s.disks))
	var halting sync.WaitGroup
	for i, d := range s.disks {
		halting.Go(func() {
			d.device.halt()
			errs[i] = backstores.Flush(d.image.store)
		})
	}
	halting.Wait()
	if len(s.ringErrs) > 0 {
		errs = append(errs, errors.New("a ring has failed"))
	}
	return errors.Join(errs...)
}
