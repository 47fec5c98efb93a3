package guard

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A program that this process executes goes on with the guard: what it starts itself
// is confined as it is. That guard starts one of the new program, and ends.

// A Handed is the guard that a program hands over to the next one of its process.
// The processes are children of this one.
type Handed struct {
	PID   int
	FD    int    // the socket to it
	Spare int    // ends with the program; 0: none
	Blind bool   // see [ErrBlind]
	Asked uint64 // questions
}

// HandOver returns the guard, or nil if there is none any more. Until resume is called
// no other takes its place, and it is asked nothing.
func (g *Guard) HandOver() (h *Handed, resume func()) {
	g.making.Lock()
	g.mu.Lock()
	resume = func() {
		g.mu.Unlock()
		g.making.Unlock()
	}
	for g.guard == nil && !g.blind { // for a moment: it was killed
		changed := g.changed
		g.mu.Unlock()
		<-changed
		g.mu.Lock()
	}
	if g.guard == nil {
		return nil, resume
	}
	h = &Handed{PID: g.guard.process.Pid, FD: -1, Blind: g.blind, Asked: g.asked}
	if conn, err := g.guard.socket.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { h.FD = int(fd) })
	}
	if g.spare != nil {
		h.Spare = g.spare.process.Pid
	}
	if h.FD < 0 { // it has just been killed
		h = nil
	}
	return h, resume
}

// TakeOver is Start for a program that goes on with the guard of the one before, until
// Renew. If h is nil it starts one.
func TakeOver(h *Handed, quiet bool, warn func(error)) (*Guard, error) {
	if h == nil {
		return Start(quiet, warn)
	}
	g, err := newGuard(quiet, warn)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(h.FD)
	if err := unix.SetNonblock(h.FD, true); err != nil {
		return nil, withoutGuard(err)
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return nil, withoutGuard(err)
	}
	if spare, err := os.FindProcess(h.Spare); err == nil && h.Spare > 0 {
		go spare.Wait() // it has ended, as its socket was closed
	}
	g.guard = newEnd(os.NewFile(uintptr(h.FD), "the socket to the guard"), p)
	g.spares, g.blind, g.asked = isConfined() && !h.Blind, h.Blind, h.Asked
	go g.follow(g.guard)
	go g.watch()
	return g, nil
}

// Renew replaces the guard by one that runs the program which lies at the path of this
// one. If that cannot be, the guard stays.
func (g *Guard) Renew() {
	start := g.startByGuard
	if g.isBlind() { // the guard is confined, as this process is
		start = g.start
	}
	if now, err := start(); err == nil {
		go g.follow(now)
		g.mu.Lock()
		before := g.guard
		g.guard = now
		g.wake()
		if before != nil {
			_ = before.process.Kill() // it would take this process, which is alive, for one that ends
		}
		if g.closing {
			_ = now.socket.Close()
		}
		g.mu.Unlock()
	}
	g.makeSpare()
}

func (g *Guard) isBlind() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blind
}

// startByGuard has the guard start another.
func (g *Guard) startByGuard() (*end, error) {
	e, err := g.askFor(newer)
	if err != nil {
		return nil, err
	}
	if err := e.promote(); err != nil {
		_ = e.process.Signal(syscall.SIGKILL)
		_, _ = e.process.Wait()
		return nil, errors.Join(err, e.socket.Close())
	}
	return e, nil
}
