package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return "", fmt.Errorf("%s: cannot be run with the same arguments: %w: %s", program, err, line)
	} else if err != nil {
		return "", err // of the path
	}
	version, schema, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if schema != schemaLine {
		return "", fmt.Errorf("%s: is not a lunserve that can take over from this one", program)
	}
	return version, nil
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
