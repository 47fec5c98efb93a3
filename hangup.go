package main

import (
	"os"
	"os/signal"
	"syscall"
)

// endings are the signals that ask for an end, during set-up. Unlike other Go
// programs we heed SIGQUIT, as ^\ must not leave a disk that nobody serves;
// SIGABRT still dumps the goroutines. A hangup does not ask if whoever started us
// had it ignored, as nohup does.
var endings = func() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP}
}()

// endsWithTerminal tells whether we end when our terminal goes: we had one, and
// SIGHUP was not ignored, when we started.
var endsWithTerminal = !signal.Ignored(syscall.SIGHUP) && hasTerminal()

// hungUp tells whether a SIGHUP came because the terminal has gone: the kernel
// takes it away from its processes then. Otherwise somebody has sent it.
func hungUp() bool { return endsWithTerminal && !hasTerminal() }

func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err == nil {
		f.Close()
	}
	return err == nil
}
