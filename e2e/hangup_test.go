package e2e

import (
	"os/exec"
	"syscall"
	"testing"
)

// A SIGHUP sent by a process makes lunserve look at the image's size. The one that
// the kernel sends when the terminal is gone ends it.
func TestHangupOfTheTerminalEnds(t *testing.T) {
	needTarget(t)
	program, person := terminal(t)
	cmd := exec.Command(binary, newImage(t, tmpfsDir(t), 16<<20))
	cmd.Stdin = program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := launch(t, cmd)
	disk := s.line()
	program.Close()

	s.signal(syscall.SIGHUP)
	s.stderr.await(t, `(?m)^lunserve: `+disk+`: still 16 MiB$`)
	person.Close()
	if status := s.wait(); status != 0 {
		t.Errorf("exit status %d\n%s", status, s.stderr)
	}
	if exists(disk) {
		t.Errorf("%s is still there", disk)
	}
	s.did(disk)
}

func TestHangupOfTheTerminalDoesNotEndNohup(t *testing.T) {
	needTarget(t)
	program, person := terminal(t)
	cmd := exec.Command("nohup", binary, newImage(t, tmpfsDir(t), 16<<20))
	cmd.Stdin = program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s := launch(t, cmd)
	disk := s.line()
	program.Close()
	person.Close()
	s.stderr.await(t, `(?m)^lunserve: `+disk+`: still 16 MiB$`)
	s.ends()
}
