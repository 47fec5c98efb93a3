package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The kernel answers the pings of an initiator for a dead server, so the session
// lasts, and the initiator's users wait.
func TestInitiatorOfADeadServerIsSeen(t *testing.T) {
	needTarget(t)
	i := newInitiator(t)
	for _, allow := range [][]string{nil, {"--allow=" + itsName}} {
		image := newImage(t, tmpfsDir(t), 16<<20)
		s := launch(t, exec.Command(binary, append(append([]string{"--iscsi"}, allow...), image)...))
		url := s.line()
		n := i.node(itsName, url)
		n.login()
		s.killedWithGuard()

		disk := died(t)
		if want := []user{{Kind: "initiator", Where: itsName}}; !slices.Equal(disk.Users, want) || disk.URI != url {
			t.Errorf("%q: listed is %+v, want %s with the user %+v", allow, disk, url, want)
		}
		_, iqn := target(t, url)
		if out := fails(t, binary, "detach", image); !strings.Contains(out, iqn+" is used by "+itsName+", and its lunserve was killed; try --force") {
			t.Errorf("%q: detach says: %s", allow, out)
		}
		detaches(t, disk)
		n.logout()
		n.do("-o", "delete")
	}
}

// The socket of a killed server goes with the next command. That of a server that
// runs, and files of others, stay.
func TestSocketsOfTheDeadAreSwept(t *testing.T) {
	needTarget(t)
	other := start(t, newImage(t, tmpfsDir(t), 16<<20))
	socket := func(s *server) string { return fmt.Sprintf("/run/lunserve/%d.sock", s.cmd.Process.Pid) }
	foreign := "/run/lunserve/999999.sock"
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(foreign)
	for _, how := range []string{"list", "start", "detach"} {
		image := newImage(t, tmpfsDir(t), 16<<20)
		s := start(t, image)
		s.killedWithGuard()
		if !exists(socket(s)) {
			t.Error("a killed server has removed its socket")
		}
		switch how {
		case "start":
			start(t, newImage(t, tmpfsDir(t), 16<<20)).ends()
		case "list":
			list(t)
		}
		if how != "detach" && exists(socket(s)) {
			t.Errorf("%s leaves %s", how, socket(s))
		}
		run(t, binary, "detach", "--force", image)
		if exists(socket(s)) {
			t.Errorf("detach leaves %s", socket(s))
		}
	}
	if !exists(socket(other)) || !exists(foreign) {
		t.Errorf("%s exists is %v, %s exists is %v", socket(other), exists(socket(other)), foreign, exists(foreign))
	}
	other.ends()
}

// No guard can be started: strace has its program not found by the kernel. The disk
// works, unless it is the guard that was asked for.
func TestDiskWorksWithoutAGuard(t *testing.T) {
	needTarget(t)
	image := newImage(t, tmpfsDir(t), 16<<20)
	s := launch(t, straced(t, "execve:error=EAGAIN", []string{"/proc/self/exe"}, image))
	disk := s.line()
	s.stderr.await(t, `lunserve: warning: no guard: fork/exec /proc/self/exe: resource temporarily unavailable; if this process is killed, its disks stay\n`)
	write(t, disk, 0, noise(1<<20, 1))
	holds(t, image, 0, noise(1<<20, 1))
	s.ends()

	restart := straced(t, "execve:error=EAGAIN", []string{"/proc/self/exe"}, image)
	restart.Args = append(restart.Args, "--restart")
	refusedAs(t, `lunserve: no guard: fork/exec /proc/self/exe: resource temporarily unavailable; if this process is killed, its disks stay`, restart)
}
