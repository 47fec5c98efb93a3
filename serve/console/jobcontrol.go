package console

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inBackground reports whether a terminal is that of this process, and another
// process group is in its foreground.
func inBackground(terminal *os.File) bool {
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group != unix.Getpgrp()
}

// writeInBackground lets this goroutine write to a terminal after "stty tostop",
// which would stop the process for it, if it is in the background. It blocks
// SIGTTOU. A handler would not help: the kernel restarts the write, and sends the
// signal again, for ever (__tty_check_change in tty_jobctrl.c). And a signal that
// is ignored is ignored in commands, too.
//
// The goroutine keeps its thread, which ends with it.
func writeInBackground() {
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << (unix.SIGTTOU - 1)
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
}
