package guard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// kept reads what a guard is told to keep, and answers as reply has it. It returns the
// texts when the socket is closed.
func kept(t *testing.T, socket *os.File, reply func(q question) *answer) <-chan []string {
	all := make(chan []string, 1)
	go func() {
		var texts []string
		for lines := bufio.NewScanner(socket); lines.Scan(); {
			var q question
			if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
				t.Errorf("%q: %v", lines.Text(), err)
			}
			texts = append(texts, string(q.Keep))
			if a := reply(q); a != nil {
				a.ID = q.ID
				send(socket, *a, nil)
			}
		}
		all <- texts
	}()
	return all
}

func watched(t *testing.T) (g *Guard, theirs *os.File) {
	ours, theirs := socketpair(t)
	g = &Guard{guard: newEnd(ours, nil), kept: []byte("before"), replies: make(map[uint64]chan<- answer),
		dead: make(chan *end, 1), changed: make(chan struct{}), ended: make(chan struct{})}
	go g.follow(newEnd(ours, &os.Process{Pid: -1}))
	return g, theirs
}

// After an error the guard has the text of before, even if it reads the new one later.
func TestGuardThatDoesNotKeepATextKeepsTheOneBefore(t *testing.T) {
	t.Parallel() // it waits
	for name, reply := range map[string]func(question) *answer{
		"refused": func(q question) *answer {
			if string(q.Keep) == "before" {
				return nil
			}
			return &answer{Error: "no such file"}
		},
		"stopped": func(question) *answer { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, theirs := watched(t)
			texts := kept(t, theirs, reply)
			err := g.Keep([]byte("after\xff"))
			if err == nil || name == "refused" && err.Error() != "no such file" || name == "stopped" && !errors.Is(err, errSilent) {
				t.Errorf("Keep = %v", err)
			}
			if string(g.kept) != "before" {
				t.Errorf("the next guard gets %q", g.kept)
			}
			g.guard.socket.Close()
			if got := <-texts; !slices.Equal(got, []string{"after\xff", "before"}) {
				t.Errorf("told was %q", got)
			}
		})
	}
	if err := new(Guard).Keep(make([]byte, maxKept+1)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a text that is too long: %v", err)
	}
}

// A guard takes what it is told before it knows another end of its server.
func TestGuardThatIsStartedLaterKeepsTheText(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(keepsIn, dir)
	g, err := Start(true, []byte("at first"), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	pid := guardOtherThan(t, 0)
	keeps(t, dir, pid, "at first")
	if err := g.Keep([]byte("one")); err != nil {
		t.Error(err)
	}
	kill(t, pid)
	pid = guardOtherThan(t, pid)
	keeps(t, dir, pid, "one")
	kill(t, pid)
	if err := g.Keep([]byte("two")); err != nil { // to the next guard, if there is none yet
		t.Error(err)
	}
	keeps(t, dir, guardOtherThan(t, pid), "two")
}

// keeps waits until a guard keeps a text, see keepsIn.
func keeps(t *testing.T, dir string, pid int, want string) {
	t.Helper()
	var got []byte
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got, _ = os.ReadFile(filepath.Join(dir, fmt.Sprint(pid))); string(got) == want {
			return
		}
	}
	t.Fatalf("guard %d keeps %q, not %q", pid, got, want)
}

// A guard that is started later may refuse what the one before has taken.
func TestTextThatALaterGuardRefusesIsKeptAgain(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(keepsIn, dir)
	warned := make(chan error, 1)
	g, err := Start(true, []byte("text"), func(err error) { warned <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	pid := guardOtherThan(t, 0)
	keeps(t, dir, pid, "text")
	if g.KeepAgain() {
		t.Error("what it has taken is to be kept again")
	}
	refuse := filepath.Join(dir, "refuse")
	if err := os.WriteFile(refuse, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kill(t, pid)
	select {
	case err := <-warned:
		if !strings.Contains(err.Error(), "does not take the list of the disks, and is asked again: refused;") {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the refusal is not seen")
	}
	if err := g.Keep([]byte("text")); err == nil || !g.KeepAgain() {
		t.Errorf("refused again: %v", err)
	}
	if err := os.Remove(refuse); err != nil {
		t.Fatal(err)
	}
	if err := g.Keep([]byte("text")); err != nil || g.KeepAgain() {
		t.Errorf("kept again: %v", err)
	}
	keeps(t, dir, guardOtherThan(t, pid), "text")
}

// What the server says last before its end counts, and only what is accepted.
func TestDeathHasWhatWasKept(t *testing.T) {
	ours, theirs := socketpair(t)
	go func() {
		r := bufio.NewReader(ours)
		for {
			if _, err := r.ReadBytes('\n'); err != nil {
				return
			}
		}
	}()
	var d Death
	d.PID = 7
	accept := func(pid int, text []byte) error {
		if pid != 7 || string(text) == "bad" {
			return errors.New("not accepted")
		}
		return nil
	}
	for _, q := range []question{{ID: 1, Keep: []byte("one")}, {Keep: []byte("two\x00\xff")}, {ID: 2, Keep: []byte("bad")}, {ID: 3}} {
		line, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if is := d.keep(line, theirs, accept); is != (q.Keep != nil) {
			t.Errorf("%s: %v", line, is)
		}
	}
	if string(d.Kept) != "two\x00\xff" {
		t.Errorf("kept is %q", d.Kept)
	}
}
