package serve

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tryTime limits how long a program may take to print its version.
const tryTime = 30 * time.Second

// tryProgram returns the version of a program that can take over with these
// arguments. It runs --version, which no lunserve mistakes for another command.
func tryProgram(ctx context.Context, program string, args []string) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--version"}, args...)...)
	cmd.Env = append(os.Environ(), schemaVar+"=1")
	cmd.WaitDelay = time.Second
	var text, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &said
	if err := startDeaf(cmd); err != nil {
		return "", err // of the path
	}
	if err := cmd.Wait(); err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return "", fmt.Errorf("%s: cannot be run with the same arguments: %w: %s", program, err, line)
	}
	version, schema, _ := strings.Cut(strings.TrimSpace(text.String()), "\n")
	if schema != schemaLine {
		return "", fmt.Errorf("%s: is not a lunserve that can take over from this one", program)
	}
	return version, nil
}

// startDeaf starts a program that SIGUSR1 and SIGUSR2 do not end: systemctl kill sends
// them to all processes of a unit.
func startDeaf(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, signalSet(syscall.SIGUSR1, syscall.SIGUSR2), &before); err != nil {
		return err
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	return cmd.Start() // the child has the mask of this thread
}

// execute executes a program with these descriptors. It returns only if it cannot.
func execute(program, variable string, fds []int) error {
	syscall.ForkLock.Lock() // no other process gets them
	defer syscall.ForkLock.Unlock()
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
		defer unix.CloseOnExec(fd)
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, os.Args, append(os.Environ(), variable)))
}

// descriptor returns the descriptor of a file, which stays as it is: Fd would make
// it a blocking one.
func descriptor(f syscall.Conn) (fd int) {
	fd = -1
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}
