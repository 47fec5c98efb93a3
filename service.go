package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
)

// A service is disks that can be used, and what may end that.
type service struct {
	exports []*export
	fabrics []fabric
	started time.Time

	signals  chan os.Signal    // that ask for the end
	wishes   chan os.Signal    // apart, so that many of them do not push out an end
	failed   chan error        // of rings
	troubles chan error        // of images
	untold   atomic.Int64      // troubles for which there was no room
	orphaned <-chan struct{}   // nil unless --exit-with-parent
	detach   <-chan detachment // nil if nobody can ask
	child    *child            // nil if there is none
}

// wait serves until the command ends or, without one, a signal or another
// lunserve asks for the end, or a ring fails. Disks in use are not taken away
// at the first ^C. SIGHUP means the end if the terminal has gone, else that
// images have other sizes; SIGUSR1 asks what the disks do.
func (s *service) wait() error {
	var ended <-chan struct{}
	if s.child != nil {
		ended = s.child.ended
	}
	var look *gauge // at what the disks do, while SIGUSR1 is being answered
	var looked <-chan time.Time
	for asked := false; ; {
		select {
		case err := <-s.failed:
			return err
		case err := <-s.troubles:
			warn("%v", err)
		case <-ended:
			s.child.first = true
			return s.leave()
		case <-s.orphaned:
			return s.leave()
		case <-looked:
			console.print(statusLine(s.title(), look.read(), 1000)) // it was asked for
			look.close()
			look, looked = nil, nil
		case d := <-s.detach:
			if users := s.users(); users != "" && !d.force {
				d.reply <- reply{Error: users}
				continue
			}
			if s.child == nil || d.force {
				d.reply <- reply{}
				return s.leave()
			}
			s.child.pass(syscall.SIGTERM)
			d.reply <- reply{Waits: s.child.title()}
		case sig := <-s.wishes:
			switch {
			case sig == syscall.SIGUSR1:
				if look == nil {
					look, looked = newGauge(s.exports...), time.After(time.Second)
				}
			case s.child != nil:
				s.child.pass(sig)
			case hungUp():
				return s.leave()
			default:
				s.resize()
			}
		case sig := <-s.signals:
			if s.child != nil {
				s.child.pass(sig)
				continue
			}
			if sig == os.Interrupt && !asked {
				if users := s.users(); users != "" {
					asked = true
					console.print(users + "; ^C again to take it away all the same") // even with --quiet
					continue
				}
			}
			return s.leave()
		}
	}
}

// report is told of troubles by whoever executes commands, and does not make
// them wait: stderr may be a terminal that somebody has stopped.
func (s *service) report(trouble error) {
	select {
	case s.troubles <- trouble:
	default:
		s.untold.Add(1)
	}
}

// tell tells of the troubles that wait did not. Nothing is executed any more.
func (s *service) tell() {
	for len(s.troubles) > 0 {
		warn("%v", <-s.troubles)
	}
	if n := s.untold.Load(); n > 0 {
		warn("%d more errors like these", n)
	}
}

// resize gives each disk the size that its image has now, and says so.
func (s *service) resize() {
	for _, x := range s.exports {
		before, after, err := x.resize(0)
		switch {
		case err != nil:
			warn("%v", oneLine(err))
		case after == before:
			say("%s: is as long as it was, %s", x.title(), humanize.IBytes(uint64(after)))
		default:
			say("%s: is %s now, was %s", x.title(), humanize.IBytes(uint64(after)), humanize.IBytes(uint64(before)))
		}
		if after < before {
			for _, user := range phrases(s.usersOf(x)) {
				warn("%s, and what it had after the first %s bytes is gone", user, humanize.Comma(after))
			}
		}
	}
}

// leave is the end, from which disks in use are not spared.
func (s *service) leave() error {
	if users := s.users(); users != "" {
		return fmt.Errorf("%s: taken away all the same", users)
	}
	return nil
}

// users says who uses the disks; nothing if nobody does. Those that may be about
// to go are given two seconds.
func (s *service) users() string {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Second); ; <-tick.C {
		var users []user
		for _, x := range s.exports {
			users = append(users, s.usersOf(x)...)
		}
		stays := slices.ContainsFunc(users, func(u user) bool { return !u.passing })
		if len(users) == 0 || stays || time.Now().After(end) {
			return strings.Join(phrases(users), ", ")
		}
	}
}

// usersOf are those that a disk has just now, by all ways to it.
func (s *service) usersOf(x *export) (all []user) {
	for _, f := range s.fabrics {
		all = append(all, f.users(x)...)
	}
	return all
}

// pending is the error of a ring that has failed, if any has.
func pending(failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// title is what the disks are called together.
func (s *service) title() string {
	if len(s.exports) == 1 {
		return s.exports[0].title()
	}
	return fmt.Sprintf("%d disks", len(s.exports))
}

// states are those of the disks now.
func (s *service) states() (all []state) {
	for _, x := range s.exports {
		all = append(all, x.state())
	}
	return all
}

// summarize says what the disks have done. They are gone then.
func (s *service) summarize() {
	d := time.Since(s.started).Round(time.Millisecond)
	if d > 10*time.Second {
		d = d.Round(time.Second)
	}
	for _, x := range s.exports {
		n := x.disk.Stats()
		say("%s removed; %s reads (%s), %s writes (%s) in %v", x.title(),
			humanize.Comma(int64(n.Reads)), humanize.IBytes(n.ReadBytes),
			humanize.Comma(int64(n.Writes)), humanize.IBytes(n.WrittenBytes), d)
	}
}
