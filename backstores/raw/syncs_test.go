package raw

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel reports a failure once, and so do flushes: later writes are written
// back again.
func TestFailedFlushIsToldOnce(t *testing.T) {
	var s syncs
	flush := func(err error) error { return s.end(s.begin(), err, true) }
	for i, tt := range []struct{ sync, want error }{
		{nil, nil}, {unix.EIO, unix.EIO}, {nil, nil}, {unix.EIO, unix.EIO}, {unix.ENOSPC, unix.ENOSPC}, {nil, nil},
	} {
		if err := flush(tt.sync); err != tt.want {
			t.Errorf("flush %d: %v, want %v", i, err, tt.want)
		}
	}
}

// The page that was lost need not be that of the durable write, so the next
// flush fails as well.
func TestFailureOfADurableWriteIsOwedToTheNextFlush(t *testing.T) {
	var s syncs
	if err := s.end(s.begin(), unix.EIO, false); err != unix.EIO {
		t.Errorf("the durable write: %v", err)
	}
	if err := s.end(s.begin(), nil, false); err != nil {
		t.Errorf("a later durable write: %v", err)
	}
	if err := s.end(s.begin(), nil, true); err != unix.EIO {
		t.Errorf("the next flush: %v, want EIO", err)
	}
	if err := s.end(s.begin(), nil, true); err != nil {
		t.Errorf("the flush after that: %v", err)
	}
}

// The kernel reports a lost page to one of two syncs that run side by side. The
// other must not succeed.
func TestSyncsSideBySideFailTogether(t *testing.T) {
	for _, flush := range []bool{true, false} {
		var s syncs
		one, two := s.begin(), s.begin()
		other := make(chan error)
		go func() { other <- s.end(one, nil, flush) }()
		select {
		case err := <-other:
			t.Fatalf("a sync ended (%v) while one it ran beside was still running", err)
		case <-time.After(20 * time.Millisecond):
		}
		s.end(two, unix.EIO, true)
		if err := <-other; !errors.Is(err, unix.EIO) {
			t.Errorf("the other: %v, want EIO", err)
		}
		if err := s.end(s.begin(), nil, true); err != nil {
			t.Errorf("a flush that began later: %v", err)
		}
	}
}
