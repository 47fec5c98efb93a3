package iscsi

import (
	"io"
	"net"
	"testing"
	"time"
)

// pipe serves a connection in memory, and returns both ends.
func pipe(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	target := New(Options{Name: "t", Device: fakeDevice{}})
	ours, theirs := net.Pipe()
	ours.SetDeadline(time.Now().Add(time.Minute))
	target.ServeConn(theirs)
	t.Cleanup(func() {
		ours.Close()
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
	target.mu.Lock()
	defer target.mu.Unlock()
	for c := range target.conns {
		return c, ours
	}
	t.Fatal("no connection")
	return nil, nil
}

// logIn logs in over a connection in memory.
func logIn(t *testing.T, c *conn, ours net.Conn) {
	t.Helper()
	h := header{0x43, 0x87, 13: 1}
	keys := "InitiatorName=i\x00TargetName=t\x00"
	h.setDataBytes(len(keys))
	if _, err := ours.Write(append(append(h[:], keys...), make([]byte, padding(len(keys)))...)); err != nil {
		t.Fatal(err)
	}
	answer := receive(t, ours)
	if answer[36] != 0 {
		t.Fatalf("login: % x", answer)
	}
	for !c.loggedIn.Load() {
		time.Sleep(time.Millisecond)
	}
}

// receive receives a PDU, and returns its header.
func receive(t *testing.T, from io.Reader) (h header) {
	t.Helper()
	_, err := io.ReadFull(from, h[:])
	if err == nil {
		n := h.dataBytes()
		_, err = io.CopyN(io.Discard, from, int64(n+padding(n)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func isClosed(t *testing.T, ours net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, ours); err != nil {
		t.Error(err)
	}
}

func TestInitiatorThatDoesNotLogInIsDisconnected(t *testing.T) {
	c, ours := pipe(t)
	c.watch(c.began + loginTime)
	if _, err := ours.Write([]byte{0x43}); err != nil {
		t.Errorf("disconnected too early: %v", err)
	}
	c.watch(c.began + loginTime + 1)
	isClosed(t, ours)
}

func TestSilentInitiatorIsAskedAndThenDisconnected(t *testing.T) {
	c, ours := pipe(t)
	logIn(t, c, ours)
	now := c.in.heard.Load()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		c.watch(now + quietTime + 1)
	}()
	if h := receive(t, ours); h.op() != opNOPIn || h.tag() != noTag || h.targetTag() == noTag {
		t.Errorf("% x", h)
	}
	<-asked
	c.watch(now + quietTime + 2) // is not asked again
	c.watch(now + goneTime + 1)
	isClosed(t, ours)
}

func TestInitiatorThatStopsWithinAPDUIsDisconnected(t *testing.T) {
	c, ours := pipe(t)
	logIn(t, c, ours)
	if _, err := ours.Write([]byte{opNOPOut | immediate, final}); err != nil {
		t.Fatal(err)
	}
	began := c.in.began.Load()
	for ; began == 0; began = c.in.began.Load() {
		time.Sleep(time.Millisecond)
	}
	c.in.heard.Store(began + goneTime) // it sends a byte now and then
	c.watch(began + goneTime + 1)
	isClosed(t, ours)
}

func TestInitiatorThatReadsNothingIsDisconnected(t *testing.T) {
	c, ours := pipe(t)
	logIn(t, c, ours)
	ping := header{opNOPOut | immediate, final}
	if _, err := ours.Write(ping[:]); err != nil {
		t.Fatal(err)
	}
	began := c.out.began.Load()
	for ; began == 0; began = c.out.began.Load() {
		time.Sleep(time.Millisecond)
	}
	c.in.heard.Store(began + quietTime)
	c.watch(began + quietTime + 1)
	isClosed(t, ours)
}
