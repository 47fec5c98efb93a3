package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// readyFD is the variable by which a process in the background knows that it is
// one: the descriptor of a pipe on which whoever has forked it waits for a byte.
const readyFD = "LUNSERVE_READY_FD"

// forked is that pipe, if this is the process in the background. Nothing that
// this process starts inherits it.
func forked() *os.File {
	fd, err := strconv.Atoi(os.Getenv(readyFD))
	if err != nil {
		return nil
	}
	os.Unsetenv(readyFD)
	unix.CloseOnExec(fd)
	_ = os.WriteFile("/proc/self/comm", []byte("lunserve"), 0) // for ps and pkill: it was started as exe
	return os.NewFile(uintptr(fd), "the pipe to who has forked this process")
}

// fork starts this program again, in a session of its own, and returns when
// that has printed the disks, or has ended. Until then it is passed our signals.
func fork(signals <-chan os.Signal) error {
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), readyFD+"=3")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = errors.Join(cmd.Start(), theirs.Close())
	if err != nil {
		return errors.Join(err, ready.Close())
	}
	told := make(chan bool)
	go func() {
		n, _ := ready.Read(make([]byte, 1))
		told <- n > 0
	}()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // one that has ended is told of below
		case ok := <-told:
			if err := ready.Close(); err != nil || ok {
				return err
			}
			return status(cmd, cmd.Wait())
		}
	}
}

// release lets whoever has forked this process go on, and everybody who reads
// its output. What is said from now on is said in the system's log.
func release(ready *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	con.UseSyslog("lunserve")
	for std := range 3 {
		if err := unix.Dup3(int(null.Fd()), std, 0); err != nil {
			return err
		}
	}
	_, err = ready.Write([]byte{'\n'})
	return errors.Join(err, ready.Close(), os.Chdir("/"))
}
