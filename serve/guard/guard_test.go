package guard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/inuse"
)

// TestMain makes this program the guard that the tests start.
func TestMain(m *testing.M) {
	if StandsBy() {
		Await()
		return
	}
	os.Exit(m.Run())
}

// children returns the children of this process that have a name.
func children(t *testing.T, called string) (pids []int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		stat, _ := os.ReadFile(dir + "/stat")
		var pid, parent int
		var state string
		if name := fmt.Sprintf("(%s)", called); strings.Contains(string(stat), name) {
			fmt.Sscanf(strings.Replace(string(stat), name, "", 1), "%d %s %d", &pid, &state, &parent)
			if parent == os.Getpid() && state != "Z" {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// guardOtherThan waits for a guard.
func guardOtherThan(t *testing.T, before int) int { return processOf(t, Name, before) }

func processOf(t *testing.T, called string, before int) int {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if now := children(t, called); len(now) == 1 && now[0] != before {
			return now[0]
		}
	}
	t.Fatalf("no %s other than %d", called, before)
	return 0
}

func TestGuardLivesAsLongAsItsServer(t *testing.T) {
	g, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	pid := guardOtherThan(t, 0)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if session, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Fields(string(session))[5] != fmt.Sprint(pid) {
		t.Errorf("it has no session of its own: %s, %v", session, err)
	}
	if now := guardOtherThan(t, 0); now != pid {
		t.Errorf("it is process %d, was %d", now, pid)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if left := children(t, Name); len(left) > 0 {
		t.Errorf("left are %d", left)
	}
}

func TestKilledGuardIsReplaced(t *testing.T) {
	warned := make(chan error, 1)
	g, err := Start(true, func(err error) { warned <- err })
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for range 3 { // in less than ten seconds, unless the machine is very slow
		pid = guardOtherThan(t, pid)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-warned:
		if !strings.Contains(err.Error(), "its disks stay") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		guardOtherThan(t, pid) // it was slow: there is another
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// A guard looks for a server that cannot, and so does the spare one that takes its
// place, again and again. Only if both are killed, a guard is started that is
// confined as the server is, and sees nothing.
func TestGuardSeesForItsServer(t *testing.T) {
	warned := make(chan error, 1)
	g, err := Start(true, func(err error) { warned <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer os.Unsetenv(confined)
	g.Confine()
	sees := func() {
		t.Helper()
		if users, err := g.Users(Place{Node: "/dev/missing", WWN: "naa.5001405000000000"}); err != nil || len(users) > 0 {
			t.Errorf("users: %v, %v", users, err)
		}
	}
	sees()
	for range 2 {
		pid, spare := guardOtherThan(t, 0), processOf(t, spareName, 0)
		kill(t, pid)
		if now := guardOtherThan(t, pid); now != spare {
			t.Errorf("guard is %d, the spare one was %d", now, spare)
		}
		processOf(t, spareName, spare) // the next
		sees()
	}
	spare := processOf(t, spareName, 0)
	kill(t, spare)
	spare = processOf(t, spareName, spare)

	g.mu.Lock() // so that it starts no other
	pid := guardOtherThan(t, 0)
	kill(t, spare)
	kill(t, pid)
	g.mu.Unlock()
	for err := range warned {
		if errors.Is(err, ErrBlind) || strings.Contains(err.Error(), "its disks stay") { // the third in ten seconds
			break
		}
		t.Error(err)
	}
	if users, err := g.Users(Place{Node: "/dev/missing"}); !errors.Is(err, ErrBlind) {
		t.Errorf("users: %v, %v", users, err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	other, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Users(Place{}); !errors.Is(err, ErrBlind) {
		t.Errorf("the guard of a process that is confined from the start sees: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	other.Unconfined()
	if isConfined() {
		t.Error("a program that could not be confined is taken for one that is")
	}
	if left := append(children(t, Name), children(t, spareName)...); len(left) > 0 {
		t.Errorf("left are %d", left)
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// A program goes on with the guard of the one before, by one that it has started: it
// is not confined, and nothing of the old ones is left.
func TestGuardIsHandedOver(t *testing.T) {
	before, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer os.Unsetenv(confined)
	before.Confine()
	spare, old := processOf(t, spareName, 0), guardOtherThan(t, 0)
	h, _ := before.HandOver() // the program ends without resume
	if h.FD, err = unix.FcntlInt(uintptr(h.FD), unix.F_DUPFD, 3); err != nil || h.PID != old || h.Spare != spare {
		t.Fatal(h, err)
	}
	before.guard.socket.Close() // as execve does
	before.spare.socket.Close()
	g, err := TakeOver(h, true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if now := guardOtherThan(t, 0); now != old {
		t.Errorf("the guard is %d, was %d", now, old)
	}
	g.Renew()
	guardOtherThan(t, old)
	processOf(t, spareName, spare)
	if _, err := g.Users(Place{Node: "/dev/missing"}); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if left := append(children(t, Name), children(t, spareName)...); len(left) > 0 {
		t.Errorf("left are %d", left)
	}
}

// A guard that is killed while it makes its successor has that one, and not the spare one
// as well: two would both take the place of the server.
func TestThereIsOneGuard(t *testing.T) {
	g, err := Start(true, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer os.Unsetenv(confined)
	g.Confine()
	pid := guardOtherThan(t, 0)
	processOf(t, spareName, 0)
	if err := g.replace(); err != nil { // although there is one
		t.Error(err)
	}
	if now := guardOtherThan(t, 0); now != pid {
		t.Errorf("the guard is %d, was %d", now, pid)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// Names are bytes.
func TestAnswersKeepNames(t *testing.T) {
	want := inuse.User{Kind: inuse.Mount, Where: "/mnt/\xff\n\"", PID: 7, Command: "a\x00\xfe"}
	ours, theirs := socketpair(t)
	g := &Guard{guard: newEnd(ours, nil), replies: make(map[uint64]chan<- answer), dead: make(chan *end, 1)}
	go func() {
		line, _ := bufio.NewReader(theirs).ReadBytes('\n')
		var q question
		if err := json.Unmarshal(line, &q); err != nil || q.Place.Node != "/dev/sdz" {
			t.Errorf("%q: %v", line, err)
		}
		send(theirs, answer{ID: q.ID + 1}, nil) // late, of another question
		send(theirs, answer{ID: q.ID, Users: []user{{want.Kind, []byte(want.Where), []byte(want.Command), want.PID}}}, nil)
	}()
	go g.follow(newEnd(ours, &os.Process{Pid: -1}))
	if got, err := g.Users(Place{Node: "/dev/sdz"}); err != nil || !slices.Equal(got, []inuse.User{want}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// A guard that is stopped is waited for once, not for each disk, until it answers again.
func TestStoppedGuardIsWaitedForOnce(t *testing.T) {
	t.Parallel() // it waits
	ours, theirs := socketpair(t)
	g := &Guard{guard: newEnd(ours, nil), replies: make(map[uint64]chan<- answer), dead: make(chan *end, 1)}
	go g.follow(newEnd(ours, &os.Process{Pid: -1}))
	for range 9 {
		if users, err := g.Users(Place{Node: "/dev/sdz"}); err != errSilent || len(users) > 0 {
			t.Errorf("users: %v, %v", users, err)
		}
	}
	g.mu.Lock()
	asked := g.asked
	g.mu.Unlock()
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
	send(theirs, answer{ID: asked}, nil) // late
	for silent := true; silent; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		silent = !g.silent.IsZero()
		g.mu.Unlock()
	}
	go func() {
		lines := bufio.NewScanner(theirs)
		for lines.Scan() {
			var q question
			if json.Unmarshal(lines.Bytes(), &q) == nil && q.ID > asked {
				send(theirs, answer{ID: q.ID}, nil)
			}
		}
	}()
	if _, err := g.Users(Place{Node: "/dev/sdz"}); err != nil {
		t.Error(err)
	}
}

// A spare guard that comes when nobody waits for it any more leaves no zombie.
func TestLateSpareGuardIsReaped(t *testing.T) {
	ours, theirs := socketpair(t)
	g := &Guard{replies: make(map[uint64]chan<- answer), dead: make(chan *end, 1)}
	go g.follow(newEnd(ours, &os.Process{Pid: -1}))
	late := exec.Command("true")
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	send(theirs, answer{ID: 7, PID: late.Process.Pid}, nil)
	for end := time.Now().Add(30 * time.Second); syscall.Kill(late.Process.Pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is a zombie")
		}
	}
}

// A line that is longer than the buffer of the socket comes whole, and no other is in it.
func TestLongLinesComeWhole(t *testing.T) {
	ours, theirs := socketpair(t)
	long := answer{Users: []user{{Where: make([]byte, 1<<20)}}}
	const lines = 4
	for range lines {
		go func() {
			if err := send(ours, long, nil); err != nil {
				t.Error(err)
			}
		}()
	}
	d := json.NewDecoder(theirs)
	for range lines {
		var got answer
		if err := d.Decode(&got); err != nil || len(got.Users) != 1 || len(got.Users[0].Where) != 1<<20 {
			t.Fatalf("%d users, %v", len(got.Users), err)
		}
	}
}

func socketpair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

// Lines may come in pieces. What is too long is no question.
func TestLinesAreWhole(t *testing.T) {
	var i inbox
	got := fmt.Sprintf("%q", i.add([]byte("12\n{}\n{\"ID")))
	got += fmt.Sprintf("%q", i.add([]byte("\":1}\n")))
	if got != `["12" "{}"]["{\"ID\":1}"]` {
		t.Error(got)
	}
	i.add(make([]byte, maxQuestion+1))
	if got := fmt.Sprintf("%q", i.add([]byte("\n{}\n"))); got != `["" "{}"]` {
		t.Error(got)
	}
}

// A server with a fault may say anything.
func FuzzQuestions(f *testing.F) {
	f.Add([]byte("12\n"), []byte(`{"ID":1,"Spawn":"/bin/sh","Place":{"Node":"/dev/sda"}}`+"\n"))
	mine, _ := os.Executable()
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var i inbox
		for _, line := range append(i.add(a), i.add(b)...) {
			var q question
			if json.Unmarshal(line, &q) != nil {
				continue
			}
			if path, err := q.Spawn.path(); err == nil && path != itself && path != mine {
				t.Errorf("%q starts %s", line, path)
			}
		}
		if len(i.text) > maxQuestion {
			t.Errorf("%d bytes are kept", len(i.text))
		}
	})
}
