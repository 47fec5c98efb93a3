package guard

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/inuse"
)

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

// A guard that works on the answer is not taken for one that is stopped.
func TestBusyGuardIsAwaited(t *testing.T) {
	t.Parallel() // it waits
	ours, theirs := socketpair(t)
	g := &Guard{guard: newEnd(ours, nil), replies: make(map[uint64]chan<- answer), dead: make(chan *end, 1)}
	go g.follow(newEnd(ours, &os.Process{Pid: -1}))
	go func() {
		var q question
		if err := json.NewDecoder(theirs).Decode(&q); err != nil {
			t.Error(err)
		}
		send(theirs, answer{ID: q.ID, Working: true}, nil)
		time.Sleep(askTime + time.Second/2)
		send(theirs, answer{ID: q.ID}, nil)
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
