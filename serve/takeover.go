package serve

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/tcmu"
)

// An upgrade adopts the disks of this process, whose program before has stopped in
// good order: each ring goes on where it stopped, without the reset that a kill
// needs. See handOver.

// taken is what the program before has handed over to this one, or nil. takenErr
// is set if it cannot be understood; the guard helps then.
var (
	taken                    *handOver
	takenErr                 error
	stopSignals, userSignals chan os.Signal
)

// TakesOver reports whether this program takes over from one that this process
// executed before. If so it changes to the folder in which that was started. Call
// it once, before anything else.
func TakesOver() bool {
	value := os.Getenv(handOverVar)
	if value == "" {
		return false
	}
	os.Unsetenv(handOverVar)
	// The service gets them from the start.
	stopSignals, userSignals = notifySignals()
	if taken, takenErr = receive(value); takenErr != nil {
		takenErr = fmt.Errorf("cannot take over from the program before: %w", takenErr)
	}
	return true
}

// Upgrading reports whether TakesOver did.
func Upgrading() bool { return taken != nil }

// receive reads the memfd whose descriptor is in value, and closes it.
func receive(value string) (*handOver, error) {
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("$%s is no descriptor", handOverVar)
	}
	f := os.NewFile(uintptr(fd), "the hand-over")
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxHandOver))
	if err != nil {
		return nil, err
	}
	h, err := decodeHandOver(text)
	if err != nil {
		return nil, err
	}
	for _, fd := range h.descriptors() {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return h, os.Chdir(h.Dir)
}

// takeOver returns a service that goes on with what was handed over.
func takeOver(o Options, c *console.Console) (*service, error) {
	if len(taken.Disks) != len(o.Images) {
		return nil, fmt.Errorf("%d images, and %d disks were handed over", len(o.Images), len(taken.Disks))
	}
	s := newService(o, c, upgrading)
	s.taken, s.parent, s.hangup = taken, taken.Parent, hangup(taken.Hangup)
	s.heed(taken.Signals)
	if o.Fork {
		c.UseSyslog("lunserve")
	}
	return s, nil
}

// inherit gives each disk the device that it had.
func (s *service) inherit(down *configfs.Undo) error {
	exports, err := configfs.Exports()
	if err != nil {
		return err
	}
	for _, d := range s.disks {
		for _, e := range exports {
			if e.Name != d.image.handed.Name || e.PID != configfs.Self() || d.orphan != nil {
				continue
			}
			ring, err := tcmu.Inherit(e.UIO, d.image.handed.Ring)
			if err != nil {
				return err
			}
			d.orphan = &orphan{e, ring}
			d.image.provisionAs(e.Contents)
			down.For(lunName(d.lun)).Push(ring.Close)
			if err := s.cannotAdopt(d); err != nil {
				return fmt.Errorf("%s: is not what it was before the upgrade: %w", d.image.path, err)
			}
		}
	}
	if err := s.mustAdopt(); err != nil {
		return err
	}
	return s.adoptTargets(exports)
}

// handedDisk returns what was handed over of the disk that is a LUN, or nil.
func (s *service) handedDisk(lun int) *handedOverDisk {
	if s.taken == nil {
		return nil
	}
	return s.taken.Disks[lun]
}

// tookOver is the end of an upgrade. Nobody waits in the foreground for a process
// that is in the background already.
func (s *service) tookOver() {
	s.console.SetQuiet(s.options.Quiet)
	s.console.Say("upgraded to %s; commands waited %v", s.taken.Version, s.serving.Sub(s.taken.Stopped).Round(time.Millisecond))
	if s.options.Fork {
		if err := os.Chdir("/"); err != nil {
			s.console.Warn(err)
		}
	}
}
