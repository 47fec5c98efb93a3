package guard

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A program that this process executes goes on with the guard, since it can start
// only one that is confined as it is. That guard starts one of the new program, and
// ends.

// A Handed is the guard that a program hands over to the next one of its process.
type Handed struct {
	PID int // a child of this process
	FD  int // the socket to it, or -1 if there is no guard
}

// HandOver returns the guard, and ends the spare one. Until resume is called no
// other takes its place.
func (g *Guard) HandOver() (h Handed, resume func()) {
	g.mu.Lock()
	if s := g.spare; s != nil {
		_ = s.socket.Close()
		_, _ = s.process.Wait()
	}
	h.FD = -1
	if g.guard != nil {
		h.PID = g.guard.process.Pid
		if conn, err := g.guard.socket.SyscallConn(); err == nil {
			_ = conn.Control(func(fd uintptr) { h.FD = int(fd) })
		}
	}
	return h, g.mu.Unlock
}

// TakeOver is Start for a program that goes on with the guard of the one before. If
// the guard cannot start another it stays, although it runs the program before.
func TakeOver(h Handed, quiet bool, warn func(error)) (*Guard, error) {
	if h.FD < 0 {
		return Start(quiet, warn)
	}
	unix.CloseOnExec(h.FD)
	if err := unix.SetNonblock(h.FD, true); err != nil {
		return nil, withoutGuard(err)
	}
	p, err := os.FindProcess(h.PID)
	if err != nil {
		return nil, withoutGuard(err)
	}
	g := newGuard(quiet, warn)
	before := newEnd(os.NewFile(uintptr(h.FD), "the socket to the guard"), p)
	g.guard, g.spares, g.blind = before, isConfined(), false
	go g.follow(before)
	go g.watch()
	if now := g.makeGuard(); now != nil {
		g.mu.Lock()
		g.guard = now
		g.wake()
		g.mu.Unlock()
		_ = before.socket.Close() // ends it
	}
	g.makeSpare()
	return g, nil
}

// makeGuard has the guard start one of the program that lies at its path now.
func (g *Guard) makeGuard() *end {
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	now, err := g.askFor(program)
	if err != nil {
		return nil
	}
	go g.follow(now)
	if now.promote() != nil {
		_ = now.process.Signal(syscall.SIGKILL)
		return nil
	}
	return now
}
