package iscsi

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
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
	logInFor(t, c, ours, "TargetName=t")
}

// logInFor logs in with a key that says what for.
func logInFor(t *testing.T, c *conn, ours net.Conn, what string) {
	t.Helper()
	h := header{0x43, 0x87, 13: 1}
	keys := "InitiatorName=i\x00" + what + "\x00"
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

// isClosed expects that the target has closed the connection, and says why.
func isClosed(t *testing.T, c *conn, ours net.Conn, why string) {
	t.Helper()
	if _, err := io.Copy(io.Discard, ours); err != nil {
		t.Error(err)
	}
	said := ""
	if err := c.why.Load(); err != nil {
		said = (*err).Error()
	}
	if said != why {
		t.Errorf("closed since %q, want %q", said, why)
	}
}

func TestInitiatorThatDoesNotLogInIsDisconnected(t *testing.T) {
	c, ours := pipe(t)
	c.watch(c.began + loginTime)
	if _, err := ours.Write([]byte{0x43}); err != nil {
		t.Errorf("disconnected too early: %v", err)
	}
	c.watch(c.began + loginTime + 1)
	isClosed(t, c, ours, "no login within 15 s")
}

func TestSilentInitiatorIsAskedAndThenDisconnected(t *testing.T) {
	c, ours := pipe(t)
	logIn(t, c, ours)
	now := c.in.heard.Load()
	c.target.clock.Store(now + quietTime + 1) // the ping begins then
	c.watch(now + quietTime + 1)              // does not wait for the initiator, nor does the next
	c.watch(now + quietTime + 1)
	if h := receive(t, ours); h.op() != opNOPIn || h.tag() != noTag || h.targetTag() == noTag {
		t.Errorf("% x", h)
	}
	c.watch(now + quietTime + 2) // is not asked again
	c.watch(now + goneTime + 1)
	isClosed(t, c, ours, "nothing was heard of it for 60 s")
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
	isClosed(t, c, ours, "it took over 60 s to send one PDU")
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
	isClosed(t, c, ours, "it took over 30 s to read one answer")
}

// Discovery needs no authentication. It must not keep others out.
func TestDiscoverySessionEnds(t *testing.T) {
	c, ours := pipe(t)
	logInFor(t, c, ours, "SessionType=Discovery")
	c.watch(c.began + goneTime)
	ping := header{opNOPOut | immediate, final}
	if _, err := ours.Write(ping[:]); err != nil {
		t.Errorf("disconnected too early: %v", err)
	}
	receive(t, ours)
	c.in.heard.Store(c.began + goneTime) // it is busy
	c.watch(c.began + goneTime + 1)
	isClosed(t, c, ours, "")
}

// A busy initiator sends the next PDU before the last is taken, and is never between
// two of them.
func TestInitiatorThatNeverPausesStays(t *testing.T) {
	var clock atomic.Int64
	two := make([]byte, 2*len(header{}))
	r := newReceiver(bytes.NewReader(two), &clock, func() error { return nil })
	clock.Store(1)
	r.r, r.w = 0, copy(r.buf, two[:1]) // the first begins
	for range 2 {
		var h header
		if _, err := r.header(&h); err != nil {
			t.Fatal(err)
		}
		clock.Store(goneTime)
	}
	if began := r.began.Load(); began == 1 {
		t.Error("the second PDU is as old as the first")
	}
}

// A slow initiator takes some of a long answer at a time, and stays.
func TestSlowInitiatorStays(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1)
	ours, theirs := net.Pipe()
	defer ours.Close()
	s := newSender(theirs, &clock)
	const all = 4
	for range all {
		s.add(&header{opDataIn}, make([]byte, maxPortion))
	}
	flushed := make(chan error)
	go func() { flushed <- s.flush() }()
	taken := make([]byte, maxPortion+len(header{}))
	for n := range all {
		if _, err := io.ReadFull(ours, taken[:maxPortion/2]); err != nil {
			t.Fatal(err)
		}
		if began := s.began.Load(); clock.Load()-began > 20 {
			t.Errorf("part %d: no progress since %d, and it is %d", n, began, clock.Load())
		}
		clock.Add(20)
		if _, err := io.ReadFull(ours, taken[maxPortion/2:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-flushed; err != nil {
		t.Error(err)
	}
}

func TestHandlesOfSessionsDiffer(t *testing.T) {
	target := &Target{sessions: map[string]*conn{"a": {tsih: 1}, "b": {tsih: 65535}}, lastTSIH: 65534}
	if got := target.newTSIH(); got != 2 {
		t.Errorf("%d, want 2", got)
	}
}
