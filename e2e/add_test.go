package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// add adds images to those of a served disk, and returns what is printed.
func add(t *testing.T, disk string, images ...string) []string {
	t.Helper()
	return strings.Fields(run(t, binary, append([]string{"add", disk}, images...)...))
}

// served returns the images that are listed, by name of the file.
func served(t *testing.T) (names []string) {
	t.Helper()
	for _, d := range list(t) {
		names = append(names, filepath.Base(d.Image))
	}
	slices.Sort(names)
	return names
}

// serves waits until exactly these images are listed, all of living servers.
func serves(t *testing.T, images ...string) {
	t.Helper()
	var want []string
	for _, i := range images {
		want = append(want, filepath.Base(i))
	}
	slices.Sort(want)
	for end := time.Now().Add(timeLimit); ; time.Sleep(20 * time.Millisecond) {
		dead := slices.ContainsFunc(list(t), func(d listed) bool { return d.Dead })
		if now := served(t); !dead && slices.Equal(now, want) {
			return
		} else if time.Now().After(end) {
			t.Fatalf("served are %q, want %q", now, want)
		}
	}
}

// The users of the first disk notice nothing of others that come and go.
func TestDisksComeAndGoBesideOneInUse(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir := tmpfsDir(t)
	first, second, third := newImage(t, dir, 64<<20), newImage(t, dir, 32<<20), newImage(t, dir, 16<<20)
	s := start(t, first)
	wait := verifying(t, s.disks[0], "20", "--rate_iops=100")
	nodes := add(t, first, second, third)
	if len(nodes) != 2 {
		t.Fatalf("printed is %q", nodes)
	}
	for n, node := range nodes {
		write(t, node, 4096, noise(8192, byte(n)))
	}
	for _, d := range list(t) {
		if len(d.Confined) == 0 {
			t.Errorf("%s: its server is not confined", d.Name)
		}
	}
	// In use: it stays, and the others too.
	hold, err := os.Open(nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	if out := fails(t, binary, "detach", second); !strings.Contains(out, nodes[0]+" is opened by ") || !strings.Contains(out, "--force") {
		t.Errorf("detach says: %s", out)
	}
	hold.Close()
	run(t, binary, "detach", second)
	serves(t, first, third)
	holds(t, second, 4096, noise(8192, 0))
	if exists(nodes[0]) {
		t.Errorf("%s is left", nodes[0])
	}
	if again := add(t, third, second+",ro"); len(again) != 1 || strings.TrimSpace(run(t, "blockdev", "--getro", again[0])) != "1" {
		t.Errorf("added again as %q", again)
	}
	if out := fails(t, binary, "add", first, second); !strings.Contains(out, "locked by lunserve") || !strings.Contains(out, second+",ro") {
		t.Errorf("an image that is served: %s", out)
	}
	run(t, binary, "detach", third, second)
	serves(t, first)
	if worst, err := wait(); err != nil {
		t.Error(err)
	} else {
		t.Logf("fio: %s", worst)
	}
	run(t, binary, "detach", first) // the last
	s.wait()
	holds(t, third, 4096, noise(8192, 1))
}

// The guard, and the program of an upgrade, go on with the disks that the server had at
// last.
func TestAddedDisksOutliveTheirServer(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir := tmpfsDir(t)
	first, second, third := newImage(t, dir, 64<<20), newImage(t, dir, 32<<20), newImage(t, dir, 16<<20)
	s := startProgram(t, install(t, dir), "--restart", first, second)
	added := add(t, second, third)[0]
	run(t, binary, "detach", first)
	waits := []func() (string, error){verifying(t, s.disks[1], "15", "--rate_iops=100"), verifying(t, added, "15", "--rate_iops=100")}
	time.Sleep(time.Second)
	t.Log(s.upgrade(1))
	if guard := guardOf(t, s.cmd.Process.Pid); guard == 0 {
		t.Error("no guard")
	}
	time.Sleep(time.Second)
	s.signal(syscall.SIGKILL)
	now := serverOf(t, third, s.cmd.Process.Pid)
	serves(t, second, third)
	for n, wait := range waits {
		if worst, err := wait(); err != nil {
			t.Errorf("fio %d: %v", n, err)
		} else {
			t.Logf("fio %d: %s", n, worst)
		}
	}
	// It adds disks as its predecessor did.
	add(t, third, first)
	serves(t, first, second, third)
	killBoth(t, now)
	for end := time.Now().Add(timeLimit); ; time.Sleep(10 * time.Millisecond) {
		if all := list(t); !slices.ContainsFunc(all, func(d listed) bool { return !d.Dead }) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("listed are %+v", all)
		}
	}
	// An image that was added has to be named, too. Its LUN stays.
	if out := fails(t, binary, first, second); !strings.Contains(out, "cannot be adopted without "+filepath.Base(third)) ||
		!strings.Contains(out, "serve "+third+" as well") {
		t.Errorf("a start without it says: %s", out)
	}
	s = start(t, third, second, first)
	serves(t, first, second, third)
	if s.disks[1] != added && !slices.Contains(s.disks, added) {
		t.Errorf("the nodes are %q, and %s is not among them", s.disks, added)
	}
	s.ends()
}

// A kill at any moment of a change leaves the other disk as it is, and nothing between.
func TestKillDuringAChangeLeavesTheOtherDisks(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir := tmpfsDir(t)
	first, second := newImage(t, dir, 64<<20), newImage(t, dir, 32<<20)
	var k kills
	s := start(t, "--restart", first)
	write(t, s.disks[0], 0, noise(8192, 1))
	pid := s.cmd.Process.Pid
	for round := range 8 {
		change := []string{"add", first, second}
		if round%2 == 1 {
			add(t, first, second)
			change = []string{"detach", second}
		}
		k.wait(1)
		done := make(chan bool)
		go func() {
			defer close(done)
			try(t, binary, change...)
		}()
		time.Sleep(time.Duration(20+round*60) * time.Millisecond)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-done
		pid = serverOf(t, first, pid)
		now := served(t)
		t.Logf("round %d: %q, then served are %q", round, change[0], now)
		holds(t, s.disks[0], 0, noise(8192, 1))
		for end := time.Now().Add(timeLimit); slices.Contains(served(t), filepath.Base(second)); time.Sleep(50 * time.Millisecond) {
			if _, err := try(t, binary, "detach", second); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal("the second disk cannot be removed")
			}
		}
		serves(t, first)
		write(t, second, 0, noise(4096, byte(round))) // nobody has it
	}
	run(t, binary, "detach", "--all")
	s.wait()
	awaitNoDisks(t)
}

// A client that ends, or asks for what it must not, before the server has the ring leaves
// nothing.
func TestAddThatIsBrokenOffLeavesNothing(t *testing.T) {
	needTarget(t)
	leavesNothing(t)
	dir := tmpfsDir(t)
	first, second := newImage(t, dir, 64<<20), newImage(t, dir, 32<<20)
	s := start(t, first)
	f, err := os.OpenFile(second, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// begin sends the request of a client, and returns the ring that it is asked for.
	begin := func() (conn *net.UnixConn, ring string) {
		t.Helper()
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: fmt.Sprintf("/run/lunserve/%d.sock", s.cmd.Process.Pid), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf(`{"version":1,"do":"add","image":{"path":%q,"size":%d}}`+"\n", second, 32<<20)
		if _, _, err := conn.WriteMsgUnix([]byte(text), unix.UnixRights(int(f.Fd())), nil); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadBytes('\n')
		var asks struct{ Open, Error string }
		if err == nil {
			err = json.Unmarshal(line, &asks)
		}
		if err != nil || asks.Open == "" {
			t.Fatalf("%s: %v", line, err)
		}
		return conn, asks.Open
	}
	for name, breakOff := range map[string]func(conn *net.UnixConn, ring string){
		"ends": func(conn *net.UnixConn, _ string) { conn.Close() },
		"fails": func(conn *net.UnixConn, _ string) {
			conn.Write([]byte(`{"version":1,"do":"opened","error":"no"}` + "\n"))
		},
		"other file": func(conn *net.UnixConn, _ string) {
			conn.WriteMsgUnix([]byte(`{"version":1,"do":"opened"}`+"\n"), unix.UnixRights(int(f.Fd())), nil)
		},
		"no file": func(conn *net.UnixConn, _ string) {
			conn.Write([]byte(`{"version":1,"do":"opened"}` + "\n"))
		},
		"is stopped": func(*net.UnixConn, string) {},
	} {
		conn, ring := begin()
		if !exists(ring) {
			t.Errorf("%s: there is no %s", name, ring)
		}
		breakOff(conn, ring)
		for end := time.Now().Add(timeLimit); exists(ring); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %s is left", name, ring)
			}
		}
		conn.Close()
		serves(t, first)
	}
	holds(t, s.disks[0], 0, make([]byte, 4096))
	s.ends()
}

// Initiators that are logged in are told, and see the disk when they look.
func TestInitiatorSeesADiskThatIsAdded(t *testing.T) {
	needTarget(t)
	dir := tmpfsDir(t)
	first, second := newImage(t, dir, 64<<20), newImage(t, dir, 32<<20)
	i := newInitiator(t)
	for _, fabric := range []string{"--iscsi", "--userspace"} {
		s := launch(t, exec.Command(binary, fabric, first))
		n := i.node(itsName, s.line())
		disk := n.login()
		wait := verifying(t, disk, "8", "--rate_iops=100")
		urls := add(t, first, second)
		if len(urls) != 1 || !strings.HasSuffix(urls[0], "/1") {
			t.Errorf("%s: printed is %q", fabric, urls)
		}
		i.admin("-m", "session", "-R")
		i.eventually(func() bool { return len(n.disks()) == 2 })
		for _, seen := range n.disks() {
			if seen != disk {
				write(t, seen, 8192, noise(4096, 9))
			}
		}
		// An initiator that is logged in uses all disks.
		if out := fails(t, binary, "detach", second); !strings.Contains(out, itsName) {
			t.Errorf("%s: detach says: %s", fabric, out)
		}
		run(t, binary, "detach", "--force", second)
		holds(t, second, 8192, noise(4096, 9))
		if worst, err := wait(); err != nil {
			t.Errorf("%s: %v", fabric, err)
		} else {
			t.Logf("%s: fio: %s", fabric, worst)
		}
		n.logout()
		s.ends()
	}
}
