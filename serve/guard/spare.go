package guard

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A server that is confined cannot start a guard that is not. So it has a spare one
// from before, which takes the place of a guard that is killed: it knows no server
// until then, and ends with it. That guard then starts the next spare one, as a
// child of the server.

// Confine starts a spare guard, and notes that this process is about to be confined:
// what it starts itself from now on is blind.
func (g *Guard) Confine() {
	g.mu.Lock()
	g.spares = true
	g.mu.Unlock()
	if e, err := g.spawn(spares); err == nil {
		g.keep(e)
	}
	os.Setenv(confined, "1")
}

// Unconfined takes back that this process is about to be confined: it cannot be.
func (g *Guard) Unconfined() { os.Unsetenv(confined) }

// keep makes a process the spare guard.
func (g *Guard) keep(e *end) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spare = e
	if g.closing {
		_ = e.socket.Close()
	}
	go g.follow(e)
}

// makeSpare has the guard start a spare one, if there is to be one and is none. If
// that fails there is none.
func (g *Guard) makeSpare() {
	g.making.Lock()
	defer g.making.Unlock()
	g.mu.Lock()
	needed := g.spares && g.spare == nil && !g.blind && !g.closing
	g.mu.Unlock()
	if !needed {
		return
	}
	if e, err := g.askFor(same); err == nil {
		g.keep(e)
	}
}

// askFor has the guard start a spare one, which is a child of this process.
func (g *Guard) askFor(p program) (*end, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	a, err := g.ask(question{Spawn: p}, theirs)
	var process *os.Process
	if err == nil && a.PID <= 1 {
		err = errors.New("the guard cannot start another")
	}
	if err == nil {
		process, err = os.FindProcess(a.PID)
	}
	if err != nil {
		ours.Close()
		return nil, err
	}
	return newEnd(ours, process), nil
}

// spawnFor starts a spare guard for the server of this one, and returns its process
// ID.
func spawnFor(p program, socket int) (pid int, err error) {
	if socket < 0 {
		return 0, errors.New("no socket came with the question")
	}
	theirs := os.NewFile(uintptr(socket), "the socket of the spare guard")
	defer theirs.Close()
	path, err := p.path()
	if err != nil {
		return 0, err
	}
	cmd := command(path, spares, theirs)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_PARENT}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release()
}
