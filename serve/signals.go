package serve

import (
	"os"
	"os/signal"
	"syscall"
)

// StopSignals returns the signals that end a start. SIGQUIT is one, unlike in
// other Go programs: ^\ must not leave a disk without its server. (SIGABRT
// still dumps the goroutines.) SIGHUP is not one if the process was started
// with it ignored, as by nohup.
func StopSignals() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// notifySignals returns channels that get the signals of a service. There are two,
// so that many user signals do not crowd out a stop signal.
func notifySignals() (stop, user chan os.Signal) {
	stop, user = make(chan os.Signal, 2), make(chan os.Signal, 2)
	signal.Notify(stop, stopping...)
	signal.Notify(user, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	return stop, user
}

// stopping are the signals that stop a service.
var stopping = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}

func (s *service) ignoreSignals() {
	signal.Stop(s.stopSignals)
	signal.Stop(s.userSignals)
}

// A hangup reports whether a SIGHUP came because the terminal hung up. It is
// true if the process ends with its terminal: it had one, and SIGHUP was not
// ignored, when it started.
type hangup bool

// newHangup must be called before SIGHUP is heeded.
func newHangup() hangup { return hangup(!signal.Ignored(syscall.SIGHUP) && hasTerminal()) }

// happened reports whether the terminal hung up: its processes then have no
// /dev/tty any more. Otherwise a process sent the signal.
func (h hangup) happened() bool { return bool(h) && !hasTerminal() }

func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err == nil {
		f.Close()
	}
	return err == nil
}
