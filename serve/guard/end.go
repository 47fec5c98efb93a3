package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	variable = "LUNSERVE_GUARD" // makes a process a guard or a spare one
	guards   = "1"
	spares   = "spare"
	socketFD = 3 // its socket

	itself = "/proc/self/exe" // whatever lies at its path by now
)

// An end is the server's end of the socket to a guard, and that process, which is a
// child of the server.
type end struct {
	socket  *os.File
	process *os.Process
	gone    chan struct{} // closed when it answers no more
}

func newEnd(socket *os.File, p *os.Process) *end { return &end{socket, p, make(chan struct{})} }

// spawn starts a guard from this process.
func (g *Guard) spawn(kind string) (*end, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := command(itself, kind, theirs)
	cmd.Dir = g.dir
	if g.quiet {
		cmd.Stdout, cmd.Stderr = nil, nil
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return newEnd(ours, cmd.Process), nil
}

// pair returns the ends of a new socket.
func pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	_ = unix.SetNonblock(fds[0], true) // so that Close ends a Read
	return os.NewFile(uintptr(fds[0]), "the socket to the guard"), os.NewFile(uintptr(fds[1]), "the socket of the guard"), nil
}

// command returns one that starts a guard, with the standard streams and in the
// working directory of this process.
func command(program, kind string, theirs *os.File) *exec.Cmd {
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Args[0] = Name
	cmd.Env = append(os.Environ(), variable+"="+kind)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// reap waits for the end of a child.
func reap(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_, _ = p.Wait()
	}
}

// follow passes on the answers of a guard until its end, and reports that.
func (g *Guard) follow(e *end) {
	for d := json.NewDecoder(e.socket); ; {
		var a answer
		if err := d.Decode(&a); err != nil {
			_, _ = io.Copy(io.Discard, e.socket)
			break
		}
		g.mu.Lock()
		g.silent = time.Time{}
		if reply := g.replies[a.ID]; reply != nil {
			reply <- a
			if !a.Working {
				delete(g.replies, a.ID)
			}
		} else if a.PID > 1 { // a spare guard that nobody waits for any more, and that so ends
			go reap(a.PID)
		}
		g.mu.Unlock()
	}
	close(e.gone)
	_, _ = e.process.Wait()
	_ = e.socket.Close()
	g.dead <- e
}
