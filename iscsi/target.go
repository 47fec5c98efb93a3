package iscsi

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of a target.
const (
	maxConnections = 32
	loginTime      = 15 // seconds
	quietTime      = 30 // seconds after which an initiator is asked for a sign of life
	goneTime       = 60 // seconds after which one that gives none is disconnected
)

// MaxMemory is how many bytes the data of all commands of a target takes at most: data
// in both directions, and unsolicited data of all that the windows let in.
const MaxMemory = maxConnections * (2*memory + (window+maxImmediate)*maxFirstBurst)

// Options describe a target.
type Options struct {
	Name   string // of the target, in lower case
	Device Device
	CHAP   *CHAP    // required at each login, unless nil; discovery needs none
	Allow  []string // the initiators that may log in; all, if empty

	// Report is called with the reason of each login that was refused and each
	// session that did not end with a logout, if it is not nil. It must be safe for
	// concurrent use, and limit what is printed: initiators cause these errors.
	Report func(error)
}

func (o *Options) allows(initiator string) bool {
	return len(o.Allow) == 0 || slices.Contains(o.Allow, initiator)
}

// A Target is an iSCSI target. Its methods are safe for concurrent use.
type Target struct {
	options Options
	clock   atomic.Int64 // seconds since the start, and 1
	stop    chan struct{}
	running sync.WaitGroup

	mu        sync.Mutex
	listeners []net.Listener
	conns     map[*conn]bool
	sessions  map[string]*conn // by initiator port
	lastTSIH  uint16
	closed    bool
}

// New returns a target that listens nowhere yet. Close it.
func New(o Options) *Target {
	t := &Target{options: o, stop: make(chan struct{}), conns: make(map[*conn]bool), sessions: make(map[string]*conn)}
	t.clock.Store(1)
	t.running.Go(t.watch)
	return t
}

// Serve accepts connections until Close, which closes l. It returns at once.
func (t *Target) Serve(l net.Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners = append(t.listeners, l)
	t.running.Go(func() { t.accept(l) })
}

func (t *Target) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as too many open files; a connection that ends helps
			t.report(fmt.Errorf("%s: %w", l.Addr(), err))
			select {
			case <-time.After(time.Second):
				continue
			case <-t.stop:
				return
			}
		}
		t.ServeConn(c)
	}
}

// ServeConn serves one connection, and returns at once. It closes the connection
// if there are too many.
func (t *Target) ServeConn(n net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.conns) >= maxConnections {
		n.Close()
		return
	}
	c := newConn(t, n)
	t.conns[c] = true
	t.running.Go(func() {
		err := c.run()
		c.end()
		t.leave(c)
		t.mu.Lock()
		delete(t.conns, c)
		t.mu.Unlock()
		if err != nil {
			t.report(fmt.Errorf("%s: %w", n.RemoteAddr(), err))
		}
	})
}

func (t *Target) report(err error) {
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	if t.options.Report != nil && !closed {
		t.options.Report(err)
	}
}

// enter makes a session of a connection whose login is complete. If its initiator port
// has one, that ends first: the initiator has lost it (RFC 7143, 6.3.5 (Session
// Reinstatement)).
func (t *Target) enter(c *conn) error {
	t.awaitDeparted(c.initiator)
	deadline := time.After(loginTime * time.Second)
	for {
		t.mu.Lock()
		old := t.sessions[c.port]
		if c.params.discovery {
			old = nil
		}
		if old == nil {
			defer t.mu.Unlock()
			c.tsih = t.newTSIH()
			if c.params.discovery {
				return nil
			}
			t.sessions[c.port] = c
			c.nexus = t.options.Device.Attach(c.port)
			return nil
		}
		t.mu.Unlock()
		old.net.Close()
		select {
		case <-old.ended:
			t.leave(old)
		case <-deadline: // its commands hang
			return refuse(outOfResources, "the session before does not end")
		case <-t.stop:
			return refuse(targetError, "the target is being removed")
		}
	}
}

// newTSIH returns a target session identifying handle that no session has. The caller
// holds t.mu.
func (t *Target) newTSIH() uint16 {
	for {
		t.lastTSIH++
		if t.lastTSIH != 0 && !t.hasSession(t.lastTSIH) {
			return t.lastTSIH
		}
	}
}

// leave removes a session that has ended.
func (t *Target) leave(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sessions[c.port] == c {
		delete(t.sessions, c.port)
	}
}

// hasSession reports whether a session has the handle. The caller holds t.mu.
func (t *Target) hasSession(tsih uint16) bool {
	for _, c := range t.sessions {
		if c.tsih == tsih {
			return true
		}
	}
	return false
}

// Initiators returns the names of the initiators that are logged in, in order.
func (t *Target) Initiators() (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.sessions {
		names = append(names, c.initiator)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// watch advances the clock, and ends connections that are silent or stuck.
func (t *Target) watch() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-t.stop:
			return
		}
		now := t.clock.Add(1)
		t.mu.Lock()
		all := make([]*conn, 0, len(t.conns))
		for c := range t.conns {
			all = append(all, c)
		}
		t.mu.Unlock()
		for _, c := range all {
			c.watch(now)
		}
	}
}

// watch ends the connection if it has been silent or stuck for too long.
func (c *conn) watch(now int64) {
	passed := func(since *atomic.Int64, seconds int64) bool {
		at := since.Load()
		return at != 0 && now-at > seconds
	}
	switch {
	case !c.loggedIn.Load():
		if now-c.began > loginTime {
			c.cut("no login within %d s", loginTime)
		}
	case c.params.discovery && now-c.began > goneTime: // anyone may have one
		c.net.Close()
	case passed(&c.in.heard, goneTime):
		c.cut("nothing was heard of it for %d s", goneTime)
	case passed(&c.in.began, goneTime):
		c.cut("it took over %d s to send one PDU", goneTime)
	case passed(&c.out.began, quietTime):
		c.cut("it took over %d s to read one answer", quietTime)
	case passed(&c.in.heard, quietTime):
		c.target.running.Go(c.ping) // it may have to wait for the initiator
	}
}

// Close ends all sessions. Their commands have completed when it returns, and no
// connection is left.
func (t *Target) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		t.running.Wait()
		return nil
	}
	t.closed = true
	close(t.stop)
	var errs []error
	for _, l := range t.listeners {
		errs = append(errs, l.Close())
	}
	for c := range t.conns {
		c.net.Close()
	}
	t.mu.Unlock()
	t.running.Wait()
	return errors.Join(errs...)
}
