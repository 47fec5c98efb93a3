package guard

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lunserve/lunserve/configfs"
)

// Name is that of a guard's process: killall lunserve must not kill it. spareName
// is that of a spare one.
const (
	Name      = "lun-guard"
	spareName = "lun-spare"
)

// A Guard is the server's end of its guard.
type Guard struct {
	quiet bool
	dir   string // the working directory: arguments may be relative to it
	warn  func(error)
	dead  chan *end
	ended chan struct{} // closed when no guard is watched any more

	making sync.Mutex // held while a spare guard is made

	mu      sync.Mutex
	guard   *end // nil at most for a moment, unless there is none any more
	spare   *end // or nil
	spares  bool // whether there is to be one
	blind   bool // see Users
	closing bool
	changed chan struct{}            // closed when the above have changed
	asked   uint64                   // questions
	replies map[uint64]chan<- answer // by question
	silent  time.Time                // until when it is not expected to answer, see Users
}

// Start starts the guard of this process. If quiet is set it does not keep the
// standard streams open. warn is called if there can be no guard any more, or one
// that sees less.
func Start(quiet bool, warn func(error)) (*Guard, error) {
	g, err := newGuard(quiet, warn)
	if err != nil {
		return nil, err
	}
	if g.guard, err = g.start(); err != nil {
		return nil, withoutGuard(err)
	}
	go g.follow(g.guard)
	go g.watch()
	return g, nil
}

func newGuard(quiet bool, warn func(error)) (*Guard, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, withoutGuard(err)
	}
	return &Guard{
		quiet: quiet, dir: dir, warn: warn, blind: isConfined(), dead: make(chan *end, 2), ended: make(chan struct{}),
		changed: make(chan struct{}), replies: make(map[uint64]chan<- answer),
	}, nil
}

// start starts a process that is the guard.
func (g *Guard) start() (*end, error) {
	e, err := g.spawn(guards)
	if err == nil {
		err = e.promote()
	}
	return e, err
}

func withoutGuard(err error) error {
	return fmt.Errorf("no guard: %w; if this process is killed, its disks stay", err)
}

// watch starts other guards and spare ones when some are killed, until Close.
func (g *Guard) watch() {
	defer close(g.ended)
	var guards, spares deaths
	for e := range g.dead {
		g.mu.Lock()
		closing, wasGuard := g.closing, e == g.guard
		switch e {
		case g.guard:
			g.guard = nil
		case g.spare:
			g.spare = nil
			g.spares = !spares.tooMany()
		}
		last := g.guard == nil && g.spare == nil
		g.mu.Unlock()
		if closing && last {
			return
		}
		if closing {
			continue
		}
		if wasGuard {
			err := errors.New("it is killed again and again")
			if !guards.tooMany() {
				err = g.replace()
			}
			if err != nil {
				g.warn(withoutGuard(err))
				g.giveUp()
				return
			}
		}
		g.makeSpare()
	}
}

// replace makes the spare guard the guard, or starts one.
func (g *Guard) replace() (err error) {
	g.mu.Lock()
	e := g.spare
	g.spare = nil
	g.mu.Unlock()
	blind := false
	if e == nil || e.promote() != nil {
		blind = isConfined()
		if e, err = g.start(); err != nil {
			return err
		}
		go g.follow(e)
	}
	g.mu.Lock()
	if g.guard != nil { // of Renew, which has asked the one that is dead before
		defer g.mu.Unlock()
		return e.process.Kill()
	}
	g.guard, g.blind, g.silent = e, blind, time.Time{}
	g.wake()
	if g.closing {
		_ = e.socket.Close()
	}
	g.mu.Unlock()
	if blind {
		g.warn(fmt.Errorf("the guard was killed, and there is another; %w", ErrBlind))
	}
	return nil
}

// wake has those who ask look again. The caller holds the lock.
func (g *Guard) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// giveUp ends the spare guard, and the wait of all who ask.
func (g *Guard) giveUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blind = true
	g.wake()
	if g.spare != nil {
		_ = g.spare.socket.Close()
	}
}

// Close ends the guard. The disks are removed.
func (g *Guard) Close() error {
	g.mu.Lock()
	g.closing = true
	g.wake()
	var errs []error
	for _, e := range []*end{g.guard, g.spare} {
		if e == nil {
			continue
		}
		if err := e.socket.Close(); !errors.Is(err, os.ErrClosed) { // it has just been killed
			errs = append(errs, err)
		}
	}
	g.mu.Unlock()
	<-g.ended
	return errors.Join(errs...)
}

// promote tells a process whom it guards, which makes it the guard.
func (e *end) promote() error {
	_, err := fmt.Fprintln(e.socket, configfs.Self())
	return err
}
