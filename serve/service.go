package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/confine"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/serve/guard"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// A service is a set of disks to serve, and the events that may end it.
type service struct {
	options Options
	console *console.Console
	events  *eventLog
	disks   []*disk
	fabrics []fabric
	mount   *mount    // nil if there is none
	command *command  // nil if there is none
	started time.Time // when the disks became usable
	serving time.Time // when the last ring was served
	role    role

	standing standing  // of commands
	taken    *handOver // from the program before, if this is an upgrade
	dir      string    // the working directory at the start, or empty
	parent   int       // the parent process at the start
	confined confine.State

	fencesMu sync.Mutex
	fences   []func() // of all rings that are or were served, see [tcmu.Device.Fence]
	fenced   bool     // see fence

	stopSignals chan os.Signal
	userSignals chan os.Signal
	hangup      hangup
	ringErrs    chan error
	imageErrs   chan error
	parentEnd   <-chan struct{} // nil unless --exit-with-parent
	detachments chan detachment
	rules       []fault.Rule // by which the disks misbehave at first
	sample      sample
	pidDraft    *draft   // or nil
	pidFile     *ownFile // nil until it has its name

	guard   *guard.Guard    // or nil
	control *control.Server // or nil
	tracer  *tracer         // or nil
	reports configfs.Undo   // ends them

	upgrades      chan *upgrade
	cancelUpgrade context.CancelFunc // nil unless one is being prepared
}

// newService returns a service that gets the process's signals until
// ignoreSignals.
func newService(o Options, c *console.Console, r role) *service {
	s := &service{
		role:        r,
		options:     o,
		console:     c,
		events:      newEventLog(o.JSON),
		imageErrs:   make(chan error, 64),
		detachments: make(chan detachment),
		upgrades:    make(chan *upgrade, 1),
		hangup:      newHangup(),
	}
	s.dir, _ = os.Getwd()
	s.parent = os.Getppid()
	if r == upgrading {
		s.stopSignals, s.userSignals = stopSignals, userSignals
	} else {
		s.stopSignals, s.userSignals = notifySignals()
	}
	return s
}

// wait serves until something ends the service.
func (s *service) wait() ending {
	defer s.sample.stop()
	defer s.dropUpgrade()
	each := time.NewTicker(time.Second)
	defer each.Stop()
	var once once
	asked := false // whether a ^C was answered with the users of the disks
	for {
		var end ending
		select {
		case err := <-s.ringErrs:
			return failure(err)
		case err := <-s.imageErrs:
			s.console.Warn(err)
		case now := <-each.C:
			s.look(now)
			if s.options.Once && once.look(s.statesWithUsers()) && s.inUse() == "" {
				s.console.Say("the last user has gone")
				end = ending{cause: requested}
			}
		case <-s.command.end():
			end = s.stop(commandEnded)
		case <-s.parentEnd:
			end = s.stop(requested)
		case <-s.sample.due:
			s.console.Print("%s", statusLine(s.title(), s.sample.read(), 1000))
		case d := <-s.detachments:
			end = s.detach(d)
		case u := <-s.upgrades:
			s.upgrade(u)
		case sig := <-s.userSignals:
			end = s.userSignal(sig)
		case sig := <-s.stopSignals:
			end = s.stopSignal(sig, &asked)
		}
		if end.cause != goesOn {
			return end
		}
	}
}

// stop ends the service even if disks are in use, and the ending names their
// users.
func (s *service) stop(why cause) ending {
	s.calmFaults() // or the search for users may hang
	if users := s.inUse(); users != "" {
		return ending{why, fmt.Errorf("%s: removed anyway", users)}
	}
	return ending{cause: why}
}

// stopSignal handles a signal that asks for the end. It goes to the command if
// there is one. The first ^C does not remove disks in use.
func (s *service) stopSignal(sig os.Signal, asked *bool) ending {
	if s.command != nil {
		s.command.signal(sig)
		return ending{}
	}
	if sig == os.Interrupt && !*asked {
		if users := s.inUse(); users != "" {
			*asked = true
			s.console.Print("%s; ^C again to remove it anyway", users)
			return ending{}
		}
	}
	return s.stop(requested)
}

// userSignal handles SIGUSR1, which prints the rates, SIGUSR2, which upgrades
// lunserve, and SIGHUP, which ends the service if the terminal has hung up, and
// otherwise gives each disk the present size of its image.
func (s *service) userSignal(sig os.Signal) ending {
	switch {
	case sig == syscall.SIGUSR1:
		s.sample.start(s.disks)
	case sig == syscall.SIGUSR2:
		s.prepareUpgrade()
	case s.command != nil:
		s.command.signal(sig)
	case s.hangup.happened():
		return s.stop(requested)
	default:
		s.resize()
	}
	return ending{}
}

// detach answers lunserve detach. A command is asked to end first.
func (s *service) detach(d detachment) ending {
	used := s.inUse
	if s.command != nil { // which may have files open in what is mounted
		used = func() string { return s.users(s.mount) }
	}
	if users := used(); users != "" && !d.force {
		d.answer <- detached{err: errInUse(users)}
		return ending{}
	}
	if s.command == nil || d.force {
		d.answer <- detached{}
		return s.stop(requested)
	}
	s.command.signal(syscall.SIGTERM)
	d.answer <- detached{waitsFor: s.command.title()}
	return ending{}
}

// warnOfRest prints the errors that wait has not printed. Commands are no
// longer executed.
func (s *service) warnOfRest() {
	for len(s.imageErrs) > 0 {
		s.console.Warn(<-s.imageErrs)
	}
	for _, l := range s.errorLimits() {
		if err := l.end(time.Now()); err != nil {
			s.console.Warn(err)
		}
	}
}

// resize gives each disk the present size of its image, and prints it.
func (s *service) resize() {
	for i, d := range s.disks {
		before, after, err := d.resize(0)
		switch {
		case err != nil:
			s.console.Warn(err)
		case after == before:
			s.console.Say("%s: still %s", d.title(), humanize.IBytes(uint64(after)))
		default:
			s.console.Say("%s: now %s, was %s", d.title(), humanize.IBytes(uint64(after)), humanize.IBytes(uint64(before)))
		}
		if after < before {
			for _, user := range sentences(s.statesWithUsers()[i]) {
				s.console.Warn(fmt.Errorf("%s, and its data after the first %s bytes is lost", user, humanize.Comma(after)))
			}
		}
	}
}

// title is short: it stands at the start of the status line.
func (s *service) title() string {
	title := fmt.Sprintf("%d disks", len(s.disks))
	if len(s.disks) == 1 {
		d := s.disks[0]
		title = cmp.Or(d.address.node, filepath.Base(d.image.path))
	}
	if slices.ContainsFunc(s.disks, func(d *disk) bool { return d.power.outage.Load() != nil }) {
		title += " (no power)"
	}
	if faults := fired(s.disks...); faults != "" {
		title += " (" + faults + ")"
	}
	return title
}

// summarize prints how much was read and written. The disks no longer exist.
func (s *service) summarize() {
	took := time.Since(s.started).Round(time.Millisecond)
	if took > 10*time.Second {
		took = took.Round(time.Second)
	}
	for _, d := range s.disks {
		n := d.device.unit.Stats()
		text := fmt.Sprintf("%s removed; %s reads (%s), %s writes (%s) in %v", d.title(),
			humanize.Comma(int64(n.Reads)), humanize.IBytes(n.ReadBytes),
			humanize.Comma(int64(n.Writes)), humanize.IBytes(n.WrittenBytes), took)
		if faults := fired(d); faults != "" {
			text += ", " + faults
		}
		s.console.Say("%s", text)
		faults, _ := d.faults.counts()
		for _, f := range faults {
			s.console.Say("%s: %s", d.title(), f.Sentence())
		}
	}
}

// errInUse is the error of a detach of disks in use.
func errInUse(users string) error {
	return hint.With(errors.New(users), hint.Command{Words: []string{"--force"}, Purpose: "to remove it anyway"})
}
