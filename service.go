package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// A service is disks that can be used, and what may end that.
type service struct {
	exports []*export
	fabrics []fabric
	signals chan os.Signal
	failed  chan error // of rings
	started time.Time
}

// announce tells that the disks can be used.
func (s *service) announce() error {
	s.started = time.Now()
	for _, line := range lines(s.exports) {
		if _, err := fmt.Println(line); err != nil {
			return err
		}
	}
	for _, x := range s.exports {
		x.created = false // it is the user's now
	}
	return nil
}

// wait serves until a signal asks for the end or a ring fails. A disk in use is
// not taken away at the first ^C.
func (s *service) wait() error {
	for asked := false; ; asked = true {
		select {
		case err := <-s.failed:
			return err
		case sig := <-s.signals:
			users := s.users()
			if users == "" {
				return nil
			}
			if asked || sig != os.Interrupt {
				return fmt.Errorf("%s: taken away all the same", users)
			}
			say("%s; ^C again to take it away all the same", users)
		}
	}
}

// users says who uses the disks; nothing if nobody does.
func (s *service) users() string {
	var phrases []string
	for _, f := range s.fabrics {
		phrases = append(phrases, f.users()...)
	}
	return strings.Join(phrases, ", ")
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
