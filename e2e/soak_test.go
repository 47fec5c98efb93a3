package e2e

import (
	goflag "flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var soak = goflag.Duration("soak", 8*time.Second, "how long a server is used, to see whether it grows")

// A server is used while initiators, other servers and clients of its control
// socket come and go. It must not grow meanwhile.
func TestServerDoesNotGrow(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	images := []string{newImage(t, dir, 32<<20), newImage(t, dir, 32<<20), newImage(t, dir, 32<<20)}
	serve := func() *server {
		cmd := exec.Command(binary, append([]string{"--loopback", "--iscsi"}, images[:2]...)...)
		cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
		s := launch(t, cmd)
		s.disks = []string{s.line(), s.line()}
		return s
	}
	s := serve()
	url := s.line()
	s.line()
	n := newInitiator(t).node(itsName, url)
	users := []*verifier{verify(t, s.disks[0], "--iodepth=8", "--rate_iops=200"), verify(t, s.disks[1], "--bs=128k", "--rate_iops=50", "--fsync=8")}
	turn := func() {
		remote := n.login()
		read(t, remote, 0, 1<<20)
		n.logout()
		list(t)
		other := start(t, images[2])
		write(t, other.disks[0], 0, noise(1<<20, 1))
		other.ends()
	}
	for range 2 {
		turn() // what is kept from then on is there by now
	}
	pid := s.cmd.Process.Pid
	before, turns, half := usageOf(t, pid), 0, usage{}
	for began := time.Now(); time.Since(began) < *soak; turns++ {
		turn()
		if half.fds == 0 && time.Since(began) > *soak/2 {
			half = usageOf(t, pid)
		}
	}
	after := usageOf(t, pid)
	t.Logf("%d turns: %+v, %+v, %+v", turns, before, half, after)
	if after.fds > before.fds {
		t.Errorf("descriptors: %d, then %d", before.fds, after.fds)
	}
	if most := before.threads + 4; after.threads > most { // the runtime keeps those that it has started
		t.Errorf("threads: %d, then %d", before.threads, after.threads)
	}
	if after.anonymous > before.anonymous+before.anonymous/4+2<<10 {
		t.Errorf("anonymous memory: %d KiB, then %d KiB", before.anonymous, after.anonymous)
	}
	for _, user := range users {
		user.ends()
	}
	used := s.goroutines()
	s = serve()
	s.line()
	s.line()
	if fresh := s.goroutines(); fresh == 0 || used > fresh {
		t.Errorf("goroutines: %d, and %d of a new server\n%s", used, fresh, s.stderr)
	}
}

// A usage is what a process uses.
type usage struct{ anonymous, fds, threads int } // memory in KiB

func usageOf(t *testing.T, pid int) (u usage) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		switch f[0] {
		case "RssAnon:":
			u.anonymous, _ = strconv.Atoi(f[1])
		case "Threads:":
			u.threads, _ = strconv.Atoi(f[1])
		}
	}
	u.fds = len(glob(t, fmt.Sprintf("/proc/%d/fd/*", pid)))
	return u
}

// goroutines kills the server, which prints its goroutines, and returns how many of
// them are ours, but for the workers of rings: those stay.
func (s *server) goroutines() (n int) {
	s.t.Helper()
	s.stop(syscall.SIGABRT)
	awaitNoDisks(s.t)
	for stack := range strings.SplitSeq(s.stderr.String(), "\n\n") {
		if strings.HasPrefix(stack, "goroutine ") && strings.Contains(stack, "lunserve/lunserve/") && !strings.Contains(stack, "tcmu.(*server).enqueue") {
			n++
		}
	}
	return n
}
