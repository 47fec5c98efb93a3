package iscsi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	maxWorkers   = 32
	maxImmediate = 64 // commands of a connection that are immediate

	// quickBytes is the longest data-in that is read by the goroutine that reads the
	// PDUs. Longer ones are read by workers, several at a time.
	quickBytes = 32 << 10

	// memory is how many bytes of data the commands of a session may have, in each
	// direction. The longest command must fit.
	memory = 32 << 20
)

// A conn is a connection, and the session that consists of it.
type conn struct {
	target *Target
	net    net.Conn
	began  int64 // on the clock of the target
	in     *receiver
	params params
	nexus  Nexus // nil until the login is complete, and for discovery

	// Set by the login.
	initiator string // its name
	port      string // the name and the ISID
	tsih      uint16

	loggedIn atomic.Bool
	why      atomic.Pointer[error] // the target has closed it, or nil: nothing is wrong
	ended    chan struct{}         // closed when the session has ended

	mu      sync.Mutex // no call of the nexus that may wait is made with it
	out     *sender
	statSN  uint32
	window  commandWindow
	waiting []*task // for data-out
	active  []*task // passed to workers
	unused  []*task
	pending []*task // of waiting: for memory, in order
	last    uint64  // number of the newest task
	lastTag uint32  // of the newest R2T
	done    sync.Cond
	outMemory,
	inMemory int
	closed bool
	pinged bool // a NOP-In waits for its answer

	quick   task // executed by the goroutine that reads
	scratch [2][]byte

	queue    chan *task
	holding  sync.WaitGroup // tasks that are held
	workers  sync.WaitGroup // and other goroutines of the connection
	started  int            // workers
	idle     atomic.Int32
	managers atomic.Int32 // task management functions in progress
}

func newConn(t *Target, c net.Conn) *conn {
	k := &conn{target: t, net: c, began: t.clock.Load(), params: defaults(), ended: make(chan struct{}), queue: make(chan *task, window+maxImmediate)}
	k.done.L = &k.mu
	k.out = newSender(c, &t.clock)
	k.in = newReceiver(c, &t.clock, k.flush)
	return k
}

// flush sends what was added.
func (c *conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.flush()
}

// send adds a PDU. With status it counts, and has a number. The caller holds c.mu.
func (c *conn) send(h *header, data []byte, status bool) {
	c.number(h, status)
	c.out.add(h, data)
}

// number sets the sequence numbers of a PDU.
func (c *conn) number(h *header, status bool) {
	if status {
		h.setWord(24, c.statSN)
		c.statSN++
	}
	h.setWord(28, c.window.expected)
	h.setWord(32, c.window.most)
}

// answer sends a PDU with a status.
func (c *conn) answer(h header, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(&h, data, true)
}

var (
	errProtocol = errors.New("protocol error")
	errLogout   = errors.New("logout")
)

// run serves the connection until its end.
func (c *conn) run() error {
	err := c.login()
	if err == nil {
		c.loggedIn.Store(true)
		err = c.serve()
	}
	c.flush() // a Reject, or the answer to a logout
	switch why := c.why.Load(); {
	case err == errLogout, err == io.EOF:
		return nil
	case !errors.Is(err, net.ErrClosed):
		return err
	case why != nil:
		return *why
	}
	return nil // the session ended, or another took its place
}

// cut closes the connection, and says why.
func (c *conn) cut(format string, a ...any) {
	why := fmt.Errorf(format, a...)
	c.why.CompareAndSwap(nil, &why)
	c.net.Close()
}

// serve reads PDUs in the full feature phase.
func (c *conn) serve() error {
	var h header
	for {
		ahs, err := c.in.header(&h)
		if err != nil {
			return err
		}
		if err := c.take(&h, ahs); err != nil {
			return err
		}
	}
}

// take takes one PDU.
func (c *conn) take(h *header, ahs []byte) error {
	op := h.op()
	if op == opDataOut || op == opSNACK { // without a CmdSN
		return c.uncounted(h)
	}
	c.mu.Lock()
	v := c.window.admit(h)
	c.mu.Unlock()
	switch v {
	case ignored:
		return c.in.drop()
	case missing:
		return c.refuse(h, protocolError)
	}
	if op == opCommand && c.nexus != nil {
		return c.command(h, ahs)
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.window.completed(h)
	}()
	switch {
	case op == opNOPOut:
		return c.nopOut(h)
	case op == opManage && c.nexus != nil:
		return c.manage(h)
	case op == opText:
		return c.text(h)
	case op == opLogout:
		return c.logout(h)
	case op == opCommand, op == opManage, op == opLogin: // in a discovery session, or again
		return c.refuse(h, protocolError)
	}
	return c.reject(h, notSupported)
}

// uncounted takes a PDU that belongs to another one, and so has no number of its own.
func (c *conn) uncounted(h *header) error {
	switch {
	case h.op() == opSNACK:
		return c.reject(h, snackReject)
	case c.nexus == nil: // in a discovery session
		return c.refuse(h, protocolError)
	}
	return c.dataOut(h)
}

// reject answers a PDU that is not executed.
func (c *conn) reject(h *header, reason byte) error {
	if err := c.in.drop(); err != nil {
		return err
	}
	c.answer(c.rejection(reason), h[:])
	return nil
}

// refuse is reject for a PDU that ends the connection.
func (c *conn) refuse(h *header, reason byte) error {
	c.answer(c.rejection(reason), h[:])
	return fmt.Errorf("%w: PDU %#02x, reason %#02x", errProtocol, h.op(), reason)
}

func (c *conn) rejection(reason byte) (r header) {
	r[0], r[1], r[2] = opReject, final, reason
	r.setWord(16, noTag)
	return r
}

// nopOut answers a ping, or takes the answer to ours.
func (c *conn) nopOut(h *header) error {
	if h.dataBytes() > maxSmall {
		return c.refuse(h, invalidPDUField)
	}
	data, err := c.in.small()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.tag() == noTag {
		c.pinged = false
		return nil
	}
	a := h.answer(opNOPIn)
	copy(a[8:16], h[8:16])
	a.setWord(20, noTag)
	c.send(&a, data[:min(len(data), c.params.maxSend)], true)
	if len(data) > maxCopied { // it is in the receive buffer
		return c.out.flush()
	}
	return nil
}

// ping asks the initiator for a sign of life. It gives up if the connection is busy.
func (c *conn) ping() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if c.pinged || c.closed {
		return
	}
	c.pinged = true
	var h header
	h[0], h[1] = opNOPIn, final
	h.setWord(16, noTag)
	h.setWord(20, 0) // our tag; any but the reserved one
	h.setWord(24, c.statSN)
	c.send(&h, nil, false)
	c.out.flush()
}

// logout ends the session, when the commands have completed. When the initiator has
// the answer, nothing of its nexus is left.
func (c *conn) logout(h *header) error {
	if err := c.in.drop(); err != nil {
		return err
	}
	const closeSession, closeConnection, notRecovered = 0, 1, 2
	a := h.answer(opLogoutAnswer)
	if reason := h[1] & 0x7f; reason != closeSession && reason != closeConnection {
		a[2] = notRecovered
		c.answer(a, nil)
		return nil
	}
	c.dropWaiting(func(*task) bool { return true })
	c.mu.Lock()
	c.releaseAll()
	c.awaitActive(func(*task) bool { return true })
	c.mu.Unlock()
	c.closeNexus()
	c.target.leave(c)
	c.answer(a, nil)
	return errLogout
}

// end ends the session: its goroutines have ended when it returns.
func (c *conn) end() {
	c.mu.Lock()
	c.closed = true
	c.releaseAll()
	c.done.Broadcast()
	c.mu.Unlock()
	c.net.Close()
	c.dropWaiting(func(*task) bool { return true })
	c.holding.Wait()
	close(c.queue)
	c.workers.Wait()
	c.closeNexus()
	close(c.ended)
}

// closeNexus closes the nexus, if there is one, when no command is being executed.
func (c *conn) closeNexus() {
	if c.nexus != nil {
		c.nexus.Close()
		c.nexus = nil
	}
}
