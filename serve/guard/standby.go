package guard

import (
	"encoding/json"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/configfs"
)

const (
	checkTime = 1500 * time.Millisecond // between looks at a server that may be stuck: its disks are gone in three seconds
	stuckTime = 300 * time.Millisecond  // from a kill to the end of a process that is not
	exitTime  = time.Second             // from the end of the socket to that of the process

	maxReplies = 64 // that are given at the same time
)

// StandsBy reports whether this process is a guard. If so it names the process
// and keeps it from being ended by signals; commands that it starts do not
// inherit that. Call it once, before anything else.
func StandsBy() bool {
	kind := os.Getenv(variable)
	if kind == "" {
		return false
	}
	os.Unsetenv(variable)
	unix.CloseOnExec(socketFD)
	// Not ignored: that would be inherited.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	// From here on it has the name of a guard, and signals do not end it.
	if kind == spares {
		SetName(spareName)
	} else {
		SetName(Name)
	}
	standsBy = true
	return true
}

var standsBy bool

// A Death is that of the server that a guard waited for.
type Death struct {
	PID   int
	Left  []configfs.Export // its disks; none after an orderly end
	Stuck bool              // in the kernel, where its threads may still write
}

// Await returns false unless this process is a guard. A guard waits for the end of
// its server.
func Await() (d Death, is bool) {
	if !standsBy {
		return d, false
	}
	standsBy = false
	socket := os.NewFile(socketFD, "the socket of the server")
	defer socket.Close()
	d.PID, d.Stuck = await(socket)
	if d.PID != 0 { // not a spare guard
		d.Left = left(d.PID)
	}
	return d, true
}

// await returns the server, after its end or when it is stuck. The server of a spare
// guard is 0.
func await(socket *os.File) (pid int, stuck bool) {
	in, replying := inbox{file: -1}, make(chan bool, maxReplies)
	for next, killed := checkTime, false; ; {
		fds := []unix.PollFd{{Fd: socketFD, Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(next/time.Millisecond))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return pid, false
		case n == 0:
			// Nobody waits for a disk that is not there. The kernel may be making it: it is seen,
			// and the socket ends, when that is over.
			if killed && len(left(pid)) > 0 {
				return pid, true
			}
			if killed = configfs.Killed(pid); killed {
				next = stuckTime
			}
		default:
			lines, err := in.receive()
			if err != nil {
				return pid, false
			}
			for _, line := range lines {
				if pid == 0 {
					pid, _ = strconv.Atoi(string(line))
					SetName(Name)
					continue
				}
				var q question
				if json.Unmarshal(line, &q) != nil {
					continue
				}
				file := -1
				if q.Spawn != "" {
					file = in.take()
				}
				select {
				case replying <- true:
					go func() { // the end of the server does not wait for it
						q.reply(socket, file)
						<-replying
					}()
				default: // the kernel hangs
					unix.Close(file)
				}
			}
		}
	}
}

// left returns the disks of a server that has ended. It may take a moment from the
// end of its socket to its own. The kernel may lack memory for that moment, too.
func left(pid int) []configfs.Export {
	alive := func(e configfs.Export) bool { return e.Alive }
	for end := time.Now().Add(exitTime); ; time.Sleep(2 * time.Millisecond) {
		all, err := configfs.Exports()
		all = slices.DeleteFunc(all, func(e configfs.Export) bool { return e.PID != pid })
		if err == nil && !slices.ContainsFunc(all, alive) || time.Now().After(end) {
			return slices.DeleteFunc(all, alive)
		}
	}
}

// SetName names this process, which was started as exe. One that is confined cannot
// write to /proc, and names all of its threads.
func SetName(name string) {
	if os.WriteFile("/proc/self/comm", []byte(name), 0) == nil {
		return
	}
	text := append([]byte(name), 0)
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&text[0])), 0)
}
