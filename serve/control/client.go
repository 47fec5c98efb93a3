package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// A Client talks to the lunserve of one process. It belongs to one goroutine.
type Client struct {
	pid  int
	conn net.Conn
	*codec
}

// answerTime is how long a lunserve may take to answer. It waits up to 2 s for
// users that may be about to leave.
const answerTime = 5 * time.Second

// ErrNotAnswering is the error of a lunserve that exists but does not answer:
// it is stopped, as by SIGSTOP.
var ErrNotAnswering = errors.New("does not answer")

// Dial connects to the lunserve of the process pid. Close the client.
func Dial(pid int) (*Client, error) {
	conn, err := net.DialTimeout("unix", socket(pid), answerTime)
	if err != nil {
		return nil, fmt.Errorf("lunserve with process id %d does not answer: %w", pid, err)
	}
	return newClient(pid, conn), nil
}

func newClient(pid int, conn net.Conn) *Client {
	return &Client{pid, conn, newCodec(conn, maxReply)}
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Disks returns the disks of the process, in the order of their LUNs.
func (c *Client) Disks() ([]Disk, error) {
	answer, err := c.ask(request{Do: show}, answerTime)
	return answer.Disks, err
}

// Measure returns the disks with their Rates since the last call. The first call
// starts the measurement.
func (c *Client) Measure() ([]Disk, error) {
	answer, err := c.ask(request{Do: measure}, answerTime)
	for _, d := range answer.Disks {
		if d.Rates == nil && err == nil {
			err = fmt.Errorf("no answer: no rates of %s", d.Name)
		}
	}
	return answer.Disks, err
}

// Resize sets the length of the image of a disk or, if bytes is 0, gives the
// disk the present size of its image. It returns the resized disk. There is no
// time limit: the kernel may take long to adopt the size.
func (c *Client) Resize(name string, bytes int64) (Disk, error) {
	return c.change(request{Do: resize, Disk: name, Size: bytes}, 0)
}

// Fault makes a disk misbehave by more rules or, if clear is set, by these alone. It
// returns the disk.
func (c *Client) Fault(name string, clear bool, rules []string) (Disk, error) {
	return c.change(request{Do: fault, Disk: name, Clear: clear, Rules: rules}, answerTime)
}

// PowerCut cuts the power of a disk. What was not flushed is lost or, with random, any
// part of it. It returns the disk. There is no time limit: the image is written and
// flushed.
func (c *Client) PowerCut(name string, random bool) (Disk, error) {
	return c.change(request{Do: power, Disk: name, Random: random}, 0)
}

// PowerOn restores the power of a disk, and returns the disk.
func (c *Client) PowerOn(name string) (Disk, error) {
	return c.change(request{Do: power, Disk: name, On: true}, answerTime)
}

// change sends a request that changes a disk, and returns the changed disk.
func (c *Client) change(r request, timeout time.Duration) (Disk, error) {
	answer, err := c.ask(r, timeout)
	if err != nil {
		return Disk{}, err
	}
	for _, d := range answer.Disks {
		if d.Name == r.Disk {
			return d, nil
		}
	}
	return Disk{}, fmt.Errorf("%s: no longer served", r.Disk)
}

// Detach ends the process and returns when it has ended. Users of its disks are
// an error unless force is set. If a command has to end first, Detach calls
// waiting with its name. When ctx is done, Detach returns, but the process
// still ends.
func (c *Client) Detach(ctx context.Context, force bool, waiting func(command string)) (err error) {
	ended, stop, err := ProcessEnd(c.pid)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	answer, err := c.ask(request{Do: detach, Force: force}, answerTime)
	if err != nil {
		return err
	}
	if answer.Waits != "" {
		waiting(answer.Waits)
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("interrupted; its lunserve, process id %d, is still ending", c.pid)
	}
}

// ask sends a request, and returns the reply and the error in it.
func (c *Client) ask(r request, timeout time.Duration) (answer reply, err error) {
	deadline := time.Time{}
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	c.conn.SetDeadline(deadline)
	r.Version = version
	err = c.write(r)
	if err == nil {
		err = c.read(&answer)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return answer, NotAnswering(c.pid)
	case err != nil:
		return answer, fmt.Errorf("no answer: %w", err)
	}
	return answer, answer.err()
}

// NotAnswering returns the [ErrNotAnswering] of a process.
func NotAnswering(pid int) error {
	return hint.Try(fmt.Errorf("lunserve with process id %d %w", pid, ErrNotAnswering), "kill", "-CONT", strconv.Itoa(pid))
}
