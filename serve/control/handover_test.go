package control

import (
	"context"
	"net"
	"path/filepath"
	"testing"
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
	socket, err := s.HandOver()
	if err != nil {
		t.Fatal(err)
	}
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
