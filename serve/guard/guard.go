package guard

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
)

const (
	variable = "LUNSERVE_GUARD" // makes a process a guard
	socketFD = 3                // its socket

	// Name is that of a guard's process: killall lunserve must not kill it.
	Name = "lun-guard"
)

// A Guard is the server's end of its guard.
type Guard struct {
	quiet bool
	warn  func(error)

	mu      sync.Mutex
	socket  *os.File
	closing bool
	ended   chan struct{} // closed when no guard is watched any more

	// See Users.
	blind   bool
	asked   uint64                 // questions
	replies map[uint64]chan []user // by question; closed at the end of a guard
}

// Start starts the guard of this process. If quiet is set it does not keep the
// standard streams open. warn is called if there can be no guard any more.
func Start(quiet bool, warn func(error)) (*Guard, error) {
	g := &Guard{quiet: quiet, warn: warn, ended: make(chan struct{}), blind: isConfined(), replies: make(map[uint64]chan []user)}
	cmd, err := g.spawn()
	if err != nil {
		return nil, err
	}
	go g.watch(cmd)
	return g, nil
}

// spawn starts a guard process.
func (g *Guard) spawn() (*exec.Cmd, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, withoutGuard(fmt.Errorf("socketpair: %w", err))
	}
	theirs := os.NewFile(uintptr(fds[1]), "the socket of the guard")
	defer theirs.Close()
	err = unix.SetNonblock(fds[0], true) // so that Close ends a Read
	ours := os.NewFile(uintptr(fds[0]), "the socket to the guard")

	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = Name
	cmd.Env = append(os.Environ(), variable+"=1")
	if !g.quiet {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = fmt.Fprintln(ours, configfs.Self())
	}
	if err != nil {
		return nil, errors.Join(withoutGuard(err), ours.Close())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.socket = ours
	if g.closing {
		err = ours.Close()
	}
	return cmd, err
}

func withoutGuard(err error) error {
	return fmt.Errorf("no guard: %w; if this process is killed, its disks stay", err)
}

// watch starts another guard when one is killed, until Close.
func (g *Guard) watch(cmd *exec.Cmd) {
	defer close(g.ended)
	var deaths deaths
	for {
		g.mu.Lock()
		socket := g.socket
		g.mu.Unlock()
		g.receive(socket) // returns at the guard's end, or by Close
		_ = cmd.Wait()
		g.mu.Lock()
		closing := g.closing
		g.mu.Unlock()
		if closing {
			return
		}
		socket.Close()
		err := withoutGuard(errors.New("it is killed again and again"))
		if !deaths.tooMany() {
			cmd, err = g.spawn()
		}
		if err != nil {
			g.warn(err)
			return
		}
		if g.Blind() {
			g.warn(fmt.Errorf("the guard was killed, and there is another; %w", ErrBlind))
		}
	}
}

// Close ends the guard. The disks are removed.
func (g *Guard) Close() error {
	g.mu.Lock()
	g.closing = true
	err := g.socket.Close()
	g.mu.Unlock()
	<-g.ended
	if errors.Is(err, os.ErrClosed) {
		return nil // there was no guard any more
	}
	return err
}
