package control

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// waitingHost answers a detach when the server ends.
type waitingHost struct {
	fakeHost
	asked chan struct{}
}

func (h *waitingHost) Detach(ctx context.Context, _ bool) (string, error) {
	close(h.asked)
	<-ctx.Done()
	return "", context.Cause(ctx)
}

// Clients that come while nobody answers wait for the next server. One that is
// being answered is told.
func TestSocketIsHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	failed := func(err error) { t.Error(err) }
	h := &waitingHost{asked: make(chan struct{})}
	s := newServer(h, l, failed)
	answered := make(chan error, 1)
	go func() {
		conn, err := net.Dial("unix", path)
		if err == nil {
			defer conn.Close()
			_, err = newClient(1, conn).ask(request{Do: detach}, 0)
		}
		answered <- err
	}()
	<-h.asked
	socket, ended, err := s.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := <-answered; err == nil || err.Error() != ErrHandOver.Error() {
		t.Errorf("the detach is answered with %v", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	next, err := Inherit(socket, &fakeHost{size: 5}, failed)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := newClient(1, conn).ask(request{Do: show}, 0); err != nil || len(a.Disks) != 1 || a.Disks[0].Size != 5 {
		t.Errorf("the answer is %+v, %v", a, err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket is left")
	}
}

// A hangingHost takes long for a resize, whatever ends.
type hangingHost struct {
	fakeHost
	asked, goOn chan struct{}
}

func (h *hangingHost) Resize(string, int64) error {
	close(h.asked)
	<-h.goOn
	return nil
}

// A request that takes long does not keep HandOver. If the server goes on after all,
// its end waits for that request.
func TestServerResumesBesideARequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	failed := func(err error) { t.Error(err) }
	h := &hangingHost{asked: make(chan struct{}), goOn: make(chan struct{})}
	s := newServer(h, l, failed)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { _, _ = newClient(1, conn).ask(request{Do: resize, Size: 1}, 0) }()
	<-h.asked
	socket, answered, err := s.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-answered:
		t.Error("nothing is being answered")
	default:
	}
	next, err := s.Resume(socket, &fakeHost{size: 5}, failed)
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if a, err := newClient(1, other).ask(request{Do: show}, 0); err != nil || len(a.Disks) != 1 || a.Disks[0].Size != 5 {
		t.Errorf("the answer is %+v, %v", a, err)
	}
	closed := make(chan error)
	go func() { closed <- next.Close() }()
	select {
	case err := <-closed:
		t.Errorf("it ends before the request: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(h.goOn)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
