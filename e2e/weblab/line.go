// Package weblab has what tests and benchmarks of images at URLs need: real web
// servers, and a line to them that is slow, cut or stalled.
//
// It imports no other package of lunserve.
package weblab

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Line passes TCP connections on to a server, as over a network with a delay
// and a rate.
type Line struct {
	listener net.Listener
	server   string
	delay    time.Duration // of one direction
	rate     rate

	mu    sync.Mutex
	conns map[net.Conn]bool

	stalled atomic.Bool
	budget  atomic.Int64 // bytes until the next cut
	Bytes   atomic.Int64 // sent by the server
	Conns   atomic.Int64 // made so far
}

// never is a budget that no test uses up.
const never = 1 << 60

// NewLine returns a line to a server at host:port with this round trip time, and
// this many bytes per second from the server, or 0 for no limit.
func NewLine(server string, roundTrip time.Duration, bytesPerSecond int64) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Line{listener: listener, server: server, delay: roundTrip / 2, conns: make(map[net.Conn]bool)}
	l.rate.perSecond = bytesPerSecond
	l.budget.Store(never)
	go l.accept()
	return l, nil
}

// Addr returns the address of the line, host:port.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// CutAfter cuts the connection that gets the nth byte from now.
func (l *Line) CutAfter(n int64) { l.budget.Store(n) }

// Stall holds up all bytes from the server, until it is called with false. What
// comes later on connections that were stalled is lost.
func (l *Line) Stall(on bool) { l.stalled.Store(on) }

// Drop cuts all connections.
func (l *Line) Drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}

// Close cuts all connections, and refuses others.
func (l *Line) Close() error {
	err := l.listener.Close()
	l.Drop()
	return err
}

func (l *Line) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.Conns.Add(1)
		go l.connect(client)
	}
}

// connect passes one connection on.
func (l *Line) connect(client net.Conn) {
	defer client.Close()
	time.Sleep(2 * l.delay) // the handshake of TCP
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	l.conns[client] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.conns, client)
		l.mu.Unlock()
	}()
	go func() {
		l.pass(server, client, nil)
		server.Close()
	}()
	l.pass(client, server, &l.rate)
}

// pass copies what one side sends, late.
func (l *Line) pass(to io.Writer, from io.Reader, r *rate) {
	type parcel struct {
		data []byte
		at   time.Time
	}
	parcels := make(chan parcel, 256)
	done := make(chan struct{})
	go func() {
		defer close(parcels)
		for {
			p := make([]byte, 32<<10)
			n, err := from.Read(p)
			select {
			case parcels <- parcel{p[:n], time.Now().Add(l.delay)}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer close(done)
	for p := range parcels {
		time.Sleep(time.Until(p.at))
		if r != nil {
			for l.stalled.Load() {
				time.Sleep(time.Millisecond)
				if _, err := to.Write(nil); err != nil {
					return
				}
			}
			r.wait(len(p.data))
			if l.budget.Add(-int64(len(p.data))) < 0 {
				l.budget.Store(never)
				return
			}
			l.Bytes.Add(int64(len(p.data)))
		}
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
}

// A rate is shared by all connections of a line.
type rate struct {
	perSecond int64
	mu        sync.Mutex
	free      time.Time
}

// wait waits until the line has sent n bytes more.
func (r *rate) wait(n int) {
	if r.perSecond == 0 {
		return
	}
	r.mu.Lock()
	// A busy machine wakes this late, so what was not sent lately may be sent now.
	if late := time.Now().Add(-20 * time.Millisecond); r.free.Before(late) {
		r.free = late
	}
	r.free = r.free.Add(time.Duration(int64(n) * int64(time.Second) / r.perSecond))
	at := r.free
	r.mu.Unlock()
	time.Sleep(time.Until(at))
}
