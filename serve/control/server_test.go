package control

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lunserve/lunserve/hint"
)

// fakeHost serves one disk.
type fakeHost struct {
	size      int64
	measuring int
	detached  []bool
	faults    []Fault
	outage    *Outage
}

func (h *fakeHost) Disks() []Disk {
	return []Disk{{Name: "a", Size: h.size, Faults: h.faults, Outage: h.outage}}
}

func (h *fakeHost) Measure() (read func() []Disk, stop func()) {
	h.measuring++
	return func() []Disk {
		d := h.Disks()
		d[0].Rates = &Rates{Reads: 7}
		return d
	}, func() { h.measuring-- }
}

func (h *fakeHost) Resize(name string, bytes int64) error {
	if name != "a" {
		return errors.New("no such disk")
	}
	h.size = bytes
	return nil
}

func (h *fakeHost) Fault(name string, clear bool, rules []string) error {
	if name != "a" {
		return errors.New("no such disk")
	}
	if clear {
		h.faults = nil
	}
	for _, r := range rules {
		h.faults = append(h.faults, Fault{Rule: r})
	}
	return nil
}

func (h *fakeHost) Power(name string, on, random bool) error {
	if name != "a" || on == (h.outage == nil) {
		return errors.New("no such disk")
	}
	h.outage = &Outage{Lost: 1}
	if random {
		h.outage.Lost = 2
	}
	if on {
		h.outage = nil
	}
	return nil
}

func (h *fakeHost) Detach(_ context.Context, force bool) (string, error) {
	if h.detached = append(h.detached, force); !force {
		return "", hint.Try(errors.New("/dev/sdb is mounted on /mnt"), "--force")
	}
	return "sleep (pid 9)", nil
}

// dialFake returns a client of a server for h, and ends both with the test.
func dialFake(t *testing.T, h Host) (*Client, net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(h, l, func(err error) { t.Error(err) })
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return newClient(1, conn), conn
}

func TestClientGetsWhatTheHostAnswers(t *testing.T) {
	h := &fakeHost{size: 512}
	c, _ := dialFake(t, h)
	if disks, err := c.Disks(); err != nil || len(disks) != 1 || disks[0].Name != "a" || disks[0].Rates != nil {
		t.Errorf("Disks = %v, %v", disks, err)
	}
	for range 2 {
		if disks, err := c.Measure(); err != nil || len(disks) != 1 || disks[0].Rates == nil || disks[0].Rates.Reads != 7 {
			t.Errorf("Measure = %v, %v", disks, err)
		}
	}
	if d, err := c.Resize("a", 1024); err != nil || d.Size != 1024 {
		t.Errorf("Resize = %v, %v", d, err)
	}
	if _, err := c.Resize("b", 1024); err == nil || err.Error() != "no such disk" {
		t.Errorf("Resize of a disk that is not there = %v", err)
	}
	if _, err := c.Fault("a", false, []string{"read: medium"}); err != nil {
		t.Errorf("Fault = %v", err)
	}
	if d, err := c.Fault("a", false, []string{"any: busy"}); err != nil || len(d.Faults) != 2 || d.Faults[1].Rule != "any: busy" {
		t.Errorf("Fault = %v, %v", d, err)
	}
	if d, err := c.Fault("a", true, []string{"any: hang"}); err != nil || len(d.Faults) != 1 {
		t.Errorf("Fault that clears = %v, %v", d, err)
	}
	for _, random := range []bool{false, true} {
		if d, err := c.PowerCut("a", random); err != nil || d.Outage == nil || d.Outage.Lost == 2 != random {
			t.Errorf("PowerCut = %v, %v", d, err)
		}
		if d, err := c.PowerOn("a"); err != nil || d.Outage != nil {
			t.Errorf("PowerOn = %v, %v", d, err)
		}
	}
	if _, err := c.Fault("b", true, nil); err == nil || err.Error() != "no such disk" {
		t.Errorf("Fault of a disk that is not there = %v", err)
	}
	err := c.Detach(t.Context(), false, nil)
	if err == nil || hint.Text(err) != "/dev/sdb is mounted on /mnt; try --force" {
		t.Errorf("Detach = %v", err)
	}
}

func TestMeasurementEndsWithTheConnection(t *testing.T) {
	h := &fakeHost{}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(h, l, func(err error) { t.Error(err) })
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(1, conn)
	if _, err := c.Measure(); err != nil {
		t.Error(err)
	}
	c.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if h.measuring != 0 {
		t.Errorf("%d measurements go on", h.measuring)
	}
}

func TestDetachWaitsForTheCommandByName(t *testing.T) {
	h := &fakeHost{}
	c, _ := dialFake(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	named := ""
	err := c.Detach(ctx, true, func(command string) { named = command; cancel() })
	if named != "sleep (pid 9)" || err == nil || !strings.Contains(err.Error(), "still ending") {
		t.Errorf("Detach waits for %q, and returns %v", named, err)
	}
}

func TestServerRefusesWhatItDoesNotKnow(t *testing.T) {
	for text, want := range map[string]string{
		`{"version":1,"do":"format"}`: `unknown request`,
		`{"version":2,"do":"show"}`:   `version`,
	} {
		c, conn := dialFake(t, new(fakeHost))
		conn.Write([]byte(text + "\n"))
		var answer reply
		if err := c.read(&answer); err != nil || !strings.Contains(answer.Error, want) {
			t.Errorf("%s is answered by %+v, %v", text, answer, err)
		}
	}
}

func TestServerHangsUpOnARequestWithoutEnd(t *testing.T) {
	c, conn := dialFake(t, new(fakeHost))
	go conn.Write([]byte(strings.Repeat("x", 2*maxRequest)))
	if err := c.read(new(reply)); err == nil {
		t.Error("a request without end is answered")
	}
}

// A pipeListener accepts one connection, the server's end of a net.Pipe.
type pipeListener struct {
	conns chan net.Conn
	end   chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.end:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.end); return nil }
func (l *pipeListener) Addr() net.Addr { return nil }

// A process that was stopped in the middle of lunserve stats reads nothing.
func TestAClientThatDoesNotReadDelaysCloseAtMostTheAnswerTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{make(chan net.Conn, 1), make(chan struct{})}
		ours, theirs := net.Pipe()
		defer ours.Close()
		l.conns <- theirs
		s := newServer(&fakeHost{}, l, func(err error) { t.Error(err) })
		if _, err := ours.Write([]byte("{\"version\":1,\"do\":\"show\"}\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until the server writes its reply
		began := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != answerTime {
			t.Errorf("Close took %v, want %v", took, answerTime)
		}
	})
}
