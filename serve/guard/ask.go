package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/inuse"
)

// On the socket, the first line is the process ID of the server. Questions of the
// server and answers of the guard follow, in lines of JSON. An answer has the number
// of its question, and may come late or never. Before it, at once, comes one that says
// that the guard works on it: a machine that is busy is not a guard that is stopped.

type question struct {
	ID    uint64
	Place Place
	Spawn program // of a spare guard to start, whose socket comes with the question; or empty
}

// A program is one that a guard starts. The server has no say in its path: a fault in
// it must not reach a process that is not confined.
type program string

const (
	same  program = "same"  // as the guard itself
	newer program = "newer" // that lies at the path of the guard now
)

func (p program) path() (string, error) {
	switch p {
	case same:
		return itself, nil
	case newer:
		return os.Executable() // its path when it was started
	}
	return "", fmt.Errorf("%q: unknown program", string(p))
}

type answer struct {
	ID    uint64
	Users []user `json:",omitempty"`
	PID   int    `json:",omitempty"` // of the spare guard

	Working bool `json:",omitempty"` // the answer follows
}

// A user is an inuse.User whose names are not all UTF-8, as JSON needs.
type user struct {
	Kind           inuse.Kind
	Where, Command []byte
	PID            int
}

const (
	askTime  = 3 * time.Second  // in which a guard begins to work, less than clients of the server wait
	workTime = 10 * time.Second // in which it has the answer
)

// errSilent is the error of a guard that does not answer in time: it is stopped, or it
// waits for the kernel.
var errSilent = errors.New("the guard does not answer")

// errGone is the error if there is no guard at the moment.
var errGone = errors.New("the guard was killed")

// ask asks the guard that there is now. A file may come with the question.
func (g *Guard) ask(q question, file *os.File) (answer, error) {
	g.mu.Lock()
	if g.blind || g.closing {
		g.mu.Unlock()
		return answer{}, ErrBlind
	}
	if g.guard == nil {
		g.mu.Unlock()
		return answer{}, errGone
	}
	g.asked++
	q.ID = g.asked
	guard, reply := g.guard, make(chan answer, 2)
	g.replies[q.ID] = reply
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.replies, q.ID)
	}()

	switch err := send(guard.socket, q, file); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return answer{}, errSilent
	case err != nil:
		return answer{}, errGone
	}
	limit := time.After(askTime)
	for {
		select {
		case a := <-reply:
			if !a.Working {
				return a, nil
			}
			limit = time.After(workTime)
			continue
		case <-guard.gone:
			return answer{}, errGone
		case <-limit:
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.replies, q.ID)
		select {
		case a := <-reply: // it has just come
			if !a.Working {
				return a, nil
			}
		default:
		}
		return answer{}, errSilent
	}
}

// send writes v as a line, and passes a file with it. Lines of several goroutines follow
// each other. A server waits for its guard at most askTime.
func send(socket *os.File, v any, file *os.File) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	_ = socket.SetWriteDeadline(time.Now().Add(askTime)) // that of a guard has none
	rest := append(text, '\n')
	var failed error
	err = conn.Write(func(fd uintptr) bool {
		for len(rest) > 0 {
			n, err := unix.SendmsgN(int(fd), rest, rights, nil, unix.MSG_NOSIGNAL)
			switch err {
			case nil:
				rest, rights = rest[n:], nil
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default:
				failed = err
				return true
			}
		}
		return true
	})
	return errors.Join(err, failed)
}

// An inbox is what a guard has received from its server.
type inbox struct {
	text []byte // of a line that is not complete
	file int    // the last descriptor that came and was not taken, or -1
}

// maxQuestion is the length of a line that is not too long to be a question.
const maxQuestion = 64 << 10

// receive returns the lines that are complete. The end is an error.
func (i *inbox) receive() (lines [][]byte, err error) {
	buf, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := unix.Recvmsg(socketFD, buf, rights, unix.MSG_CMSG_CLOEXEC)
	if err == unix.EINTR {
		return nil, nil
	}
	if err == nil && n == 0 {
		err = unix.ECONNRESET
	}
	if err != nil {
		return nil, err
	}
	if messages, err := unix.ParseSocketControlMessage(rights[:m]); err == nil {
		for _, message := range messages {
			fds, _ := unix.ParseUnixRights(&message)
			for _, fd := range fds {
				unix.Close(i.file)
				i.file = fd
			}
		}
	}
	return i.add(buf[:n]), nil
}

// take takes the file that came with a question, or returns -1.
func (i *inbox) take() (fd int) {
	fd, i.file = i.file, -1
	return fd
}

// add returns the lines that text completes. A line that is too long is dropped.
func (i *inbox) add(text []byte) (lines [][]byte) {
	i.text = append(i.text, text...)
	for {
		line, rest, whole := bytes.Cut(i.text, []byte{'\n'})
		if !whole {
			break
		}
		lines, i.text = append(lines, line), rest
	}
	if i.text = slices.Clone(i.text); len(i.text) > maxQuestion {
		i.text = nil
	}
	return lines
}

// reply answers a question, in the guard.
func (q question) reply(socket *os.File, file int) {
	_ = send(socket, answer{ID: q.ID, Working: true}, nil) // the server may have ended
	a := answer{ID: q.ID}
	if q.Spawn != "" {
		a.PID, _ = spawnFor(q.Spawn, file) // 0: none
	} else {
		for _, u := range q.Place.Users() {
			a.Users = append(a.Users, user{u.Kind, []byte(u.Where), []byte(u.Command), u.PID})
		}
	}
	_ = send(socket, a, nil)
}
