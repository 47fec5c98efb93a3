package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// A peer is another lunserve, at its socket.
type peer struct {
	pid  int
	conn net.Conn
	to   *json.Encoder
	from *json.Decoder
}

// answerTime is how long another lunserve may take for an answer. To see who
// uses its disks it takes up to 2 s.
const answerTime = 5 * time.Second

// A silent is the process id of a lunserve that does not answer, and the error
// that says so: somebody has stopped it.
type silent int

func (pid silent) Error() string {
	return fmt.Sprintf("lunserve with process id %d does not answer; try kill -CONT %[1]d", int(pid))
}

// dial finds the lunserve with this process id. The peer is to be closed.
func dial(pid int) (*peer, error) {
	conn, err := net.DialTimeout("unix", socket(pid), answerTime)
	if err != nil {
		return nil, fmt.Errorf("lunserve with process id %d does not answer: %w", pid, err)
	}
	return newPeer(pid, conn), nil
}

func newPeer(pid int, conn net.Conn) *peer {
	return &peer{pid, conn, json.NewEncoder(conn), json.NewDecoder(conn)}
}

func (p *peer) close() error { return p.conn.Close() }

// ask asks for something. What is against that is an error.
func (p *peer) ask(r request) (answer reply, err error) {
	if r.Do != "resize" { // which the kernel may take long to hear of
		p.conn.SetDeadline(time.Now().Add(answerTime))
	}
	err = p.to.Encode(r)
	if err == nil {
		err = p.from.Decode(&answer)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return answer, silent(p.pid)
	}
	if err != nil {
		return answer, fmt.Errorf("no answer: %w", err)
	}
	if answer.Error != "" {
		return answer, errors.New(answer.Error)
	}
	return answer, nil
}
