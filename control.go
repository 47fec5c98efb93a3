package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lunserve/lunserve/configfs"
)

// socketDir has a socket for each lunserve that serves, named after its process
// id, at which other lunserves ask after its disks. Only root gets there.
const socketDir = "/run/lunserve"

func socket(pid int) string { return filepath.Join(socketDir, fmt.Sprintf("%d.sock", pid)) }

// A request is an object that is sent to the socket. Each is answered by a
// reply, and more may follow.
type request struct {
	Do    string `json:"do"`              // "show", "measure", "resize" or "detach"
	Disk  string `json:"disk,omitempty"`  // to resize
	Size  int64  `json:"size,omitempty"`  // bytes; 0 is the size of the image
	Force bool   `json:"force,omitempty"` // detach disks in use, too
}

type reply struct {
	Error string  `json:"error,omitempty"`
	Disks []state `json:"disks,omitempty"`
	Waits string  `json:"waits,omitempty"` // of a detach: for which command
}

// A control answers at the socket.
type control struct {
	exports  []*export
	users    func(*export) []user // a disk has just now
	listener net.Listener
	detach   chan detachment
	talks    sync.WaitGroup
}

// A detachment asks the service to end. It is answered by what is against that,
// or what is waited for.
type detachment struct {
	force bool
	reply chan<- reply
}

// newControl listens, until down is run.
func newControl(s *service, down *undo) (*control, error) {
	if err := os.MkdirAll(socketDir, 0o700); err != nil {
		return nil, err
	}
	path := socket(configfs.Self())
	_ = os.Remove(path) // of one that was killed and had this number
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	c := &control{exports: s.exports, users: s.usersOf, listener: listener, detach: make(chan detachment)}
	ctx, cancel := context.WithCancel(context.Background())
	down.push(func() error {
		err := c.listener.Close()
		cancel()
		c.talks.Wait()
		return err
	})
	c.talks.Go(func() { c.accept(ctx) })
	return c, nil
}

func (c *control) accept(ctx context.Context) {
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			warn("%v", err)
			return
		}
		c.talks.Go(func() {
			defer conn.Close()
			// A reply that is under way is still sent.
			defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
			c.talk(ctx, conn)
		})
	}
}

// talk answers one lunserve until it hangs up.
func (c *control) talk(ctx context.Context, conn net.Conn) {
	var measured gauges // once it is asked for
	defer func() { measured.close() }()
	from, to := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var r request
		if from.Decode(&r) != nil {
			return
		}
		var answer reply
		var err error
		switch r.Do {
		case "show":
			answer.Disks = c.show()
		case "measure":
			if measured == nil {
				measured = newGauges(c.exports)
			}
			answer.Disks = c.show()
			measured.into(answer.Disks)
		case "resize":
			err = c.resize(r.Disk, r.Size)
			answer.Disks = c.show()
		case "detach":
			answer = c.end(ctx, r.Force)
		default:
			err = fmt.Errorf("%q is nothing that this lunserve does; is it of another version?", r.Do)
		}
		if err != nil {
			answer.Error = oneLine(err)
		}
		if to.Encode(answer) != nil {
			return
		}
	}
}

// show tells of all disks.
func (c *control) show() (all []state) {
	for _, x := range c.exports {
		s := x.state()
		s.Users = phrases(c.users(x))
		all = append(all, s)
	}
	return all
}

func (c *control) resize(name string, size int64) error {
	for _, x := range c.exports {
		if x.device.Name() == name {
			_, _, err := x.resize(size)
			return err
		}
	}
	return fmt.Errorf("no disk here is named %s", name)
}

// end asks the service to end.
func (c *control) end(ctx context.Context, force bool) reply {
	answer := make(chan reply, 1)
	select {
	case c.detach <- detachment{force, answer}:
		return <-answer
	case <-ctx.Done():
		return reply{} // it is ending
	}
}
