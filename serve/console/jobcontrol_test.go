package console

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// After "stty tostop" the kernel stops a job in the background that writes to its
// terminal. A Console writes nevertheless, and has no status line there.
func TestJobInTheBackgroundWrites(t *testing.T) {
	if os.Getenv("CONSOLE_TEST_JOB") != "" {
		c := New(os.Stderr, "job")
		c.Print("printed")
		fmt.Println("columns", c.StatusWidth())
		c.Close()
		return
	}
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Skip(err)
	}
	defer person.Close()
	conn, err := person.SyscallConn() // Fd would make it block
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	conn.Control(func(f uintptr) { fd = int(f) })
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, tt := range []struct{ job, columns string }{
		{`"$0" -test.run=^TestJobInTheBackgroundWrites$`, "77"}, // in the foreground
		{`"$0" -test.run=^TestJobInTheBackgroundWrites$ & wait`, "0"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", "set -m; stty tostop; "+tt.job, os.Args[0])
		cmd.Env = append(os.Environ(), "CONSOLE_TEST_JOB=1", "TERM=vt100")
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = program, &out, program
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		cmd.WaitDelay = time.Second
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v", tt.job, err)
		}
		if !strings.Contains(out.String(), "columns "+tt.columns+"\n") {
			t.Errorf("%s: want %s columns:\n%s", tt.job, tt.columns, &out)
		}
		person.SetReadDeadline(time.Now().Add(time.Second))
		said := make([]byte, 200)
		if n, err := person.Read(said); err != nil || string(said[:n]) != "job: printed\r\n" {
			t.Errorf("%s: on the terminal: %q, %v", tt.job, said[:n], err)
		}
	}
}
