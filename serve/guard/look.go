package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/lunserve/lunserve/backstores/inuse"
	"github.com/lunserve/lunserve/configfs"
)

// A server that is confined cannot see which files other processes have open: the
// kernel shows these only to a process that is confined no more than they are. So
// it asks its guard, which it has started before. A guard that a confined server
// starts is confined, too, and blind.
//
// On the socket, questions and answers are lines of JSON. An answer has the number
// of its question, and may come late or never.

// A Place is where a disk is used: by its node, such as /dev/sdb, or as a part of a
// target of virtual machines, by its WWN.
type Place struct{ Node, WWN string }

// Users returns the users of the disk at a place that this process can see.
func (p Place) Users() (all []inuse.User) {
	if p.Node != "" {
		all = inuse.Of(p.Node)
	}
	if p.WWN != "" {
		for _, m := range configfs.Machines(p.WWN) {
			all = append(all, inuse.User{Kind: inuse.VM, PID: m.PID, Command: m.Command})
		}
	}
	return all
}

type question struct {
	ID    uint64
	Place Place
}

type answer struct {
	ID    uint64
	Users []user
}

// A user is an inuse.User whose names are not all UTF-8, as JSON needs.
type user struct {
	Kind           inuse.Kind
	Where, Command []byte
	PID            int
}

const (
	lookTime = 5 * time.Second // for an answer

	// confined is the environment variable of processes that cannot see others, and
	// of those that they start.
	confined = "LUNSERVE_CONFINED"
)

// ErrBlind is the error of a guard that does not see other processes.
var ErrBlind = errors.New("it is no longer seen which processes use the disks")

// Users asks the guard for the users of the disk at a place.
func (g *Guard) Users(p Place) ([]inuse.User, error) {
	g.mu.Lock()
	if g.blind {
		g.mu.Unlock()
		return nil, ErrBlind
	}
	g.asked++
	q, reply, socket := question{g.asked, p}, make(chan []user, 1), g.socket
	g.replies[q.ID] = reply
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.replies, q.ID)
	}()

	if err := send(socket, q); err != nil {
		return nil, err
	}
	select {
	case users, ok := <-reply:
		if !ok {
			return nil, ErrBlind
		}
		all := make([]inuse.User, len(users))
		for i, u := range users {
			all[i] = inuse.User{Kind: u.Kind, Where: string(u.Where), PID: u.PID, Command: string(u.Command)}
		}
		return all, nil
	case <-time.After(lookTime):
		return nil, fmt.Errorf("the guard does not answer within %v", lookTime)
	}
}

// Blind reports whether the guard does not see other processes.
func (g *Guard) Blind() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blind
}

// Confine notes that this process is about to be confined: a guard that it starts
// from now on is blind.
func Confine() { os.Setenv(confined, "1") }

// isConfined reports whether a guard that this process starts is blind.
func isConfined() bool { return os.Getenv(confined) != "" }

// receive passes on the answers of a guard until its end.
func (g *Guard) receive(socket *os.File) {
	for d := json.NewDecoder(socket); ; {
		var a answer
		if err := d.Decode(&a); err != nil {
			_, _ = io.Copy(io.Discard, socket)
			break
		}
		g.mu.Lock()
		if reply := g.replies[a.ID]; reply != nil {
			reply <- a.Users
			delete(g.replies, a.ID)
		}
		g.mu.Unlock()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, reply := range g.replies {
		close(reply)
	}
	clear(g.replies)
	g.blind = isConfined()
}

// reply answers a question, in the guard.
func reply(socket *os.File, line []byte) {
	var q question
	if json.Unmarshal(line, &q) != nil {
		return
	}
	a := answer{ID: q.ID}
	for _, u := range q.Place.Users() {
		a.Users = append(a.Users, user{u.Kind, []byte(u.Where), []byte(u.Command), u.PID})
	}
	_ = send(socket, a) // the server may have ended
}

func send(socket *os.File, v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = socket.Write(append(text, '\n'))
	}
	return err
}

// cutLines returns the lines of text that are complete, and the rest.
func cutLines(text []byte) (lines [][]byte, rest []byte) {
	for {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		if !whole {
			return lines, slices.Clone(text)
		}
		lines, text = append(lines, line), rest
	}
}
