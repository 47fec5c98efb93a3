package raw

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// newImage opens a new image. f may refuse each vector write by its flags.
func newImage(t *testing.T, f func(flags int) error) *Writable {
	t.Helper()
	s, err := Open(context.Background(), filepath.Join(t.TempDir(), "disk.img"), Options{Create: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := s.(*Writable)
	w.writes.many = func(fd int, bufs [][]byte, off int64, flags int) (int, error) {
		if err := f(flags); err != nil {
			return 0, err
		}
		return unix.Pwritev2(fd, bufs, off, flags)
	}
	return w
}

var pair = [][]byte{{1, 2, 3}, {4, 5}}

func holdsPair(t *testing.T, w *Writable) bool {
	t.Helper()
	p, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(p[:5]) == "\x01\x02\x03\x04\x05"
}

func TestDurableWriteSyncs(t *testing.T) {
	var flags []int
	w := newImage(t, func(f int) error { flags = append(flags, f); return nil })
	if err := w.WriteVec(pair, 0, backstores.Durable); err != nil {
		t.Fatal(err)
	}
	if len(flags) != 1 || flags[0] != unix.RWF_DSYNC || !holdsPair(t, w) {
		t.Errorf("calls with flags %v, want one with RWF_DSYNC", flags)
	}
}

func TestDurableWriteIsNeverInline(t *testing.T) {
	w := newImage(t, func(int) error { t.Error("a call was made"); return nil })
	if err := w.WriteVec(pair, 0, backstores.Durable|backstores.NoWait); err != backstores.ErrWouldBlock {
		t.Errorf("%v, want ErrWouldBlock", err)
	}
}

func TestDurableWriteWithoutDsyncFlushes(t *testing.T) {
	w := newImage(t, func(flags int) error {
		if flags == unix.RWF_DSYNC {
			return unix.EOPNOTSUPP
		}
		return nil
	})
	if err := w.WriteVec(pair, 0, backstores.Durable); err != nil || !holdsPair(t, w) {
		t.Errorf("%v", err)
	}
	if w.syncs.failures > 0 {
		t.Error("an unsupported flag counts as a failed sync")
	}
}

func TestFailedDurableWriteFailsFlushes(t *testing.T) {
	w := newImage(t, func(flags int) error {
		if flags == unix.RWF_DSYNC {
			return unix.EIO
		}
		return nil
	})
	if err := w.WriteVec(pair, 0, backstores.Durable); !errors.Is(err, unix.EIO) {
		t.Errorf("%v, want EIO", err)
	}
	// The EIO may belong to any earlier write.
	if err := w.Owes(); !errors.Is(err, unix.EIO) {
		t.Errorf("it owes %v, want EIO", err)
	}
	if err := w.Flush(); !errors.Is(err, unix.EIO) {
		t.Errorf("the next Flush: %v, want EIO", err)
	}
	if err := w.Owes(); err != nil {
		t.Errorf("after that Flush it owes %v", err)
	}
	if err := errors.Join(w.WriteVec(pair, 0, 0), w.Flush()); err != nil {
		t.Errorf("the next write and the flush after it: %v", err)
	}
}

func TestFailedWriteDoesNotFailFlushes(t *testing.T) {
	w := newImage(t, func(int) error { return unix.ENOSPC })
	if err := w.WriteVec(pair, 0, backstores.Durable); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
	if err := w.Flush(); err != nil {
		t.Errorf("the next Flush: %v", err)
	}
}

func TestFlushHeals(t *testing.T) {
	w := newImage(t, func(int) error { return nil })
	fd := w.fd
	w.fd = -1
	want := w.path + ": flush: bad file descriptor: what was written since the last flush may be lost, so check the file systems on the disk"
	if err := w.Flush(); !errors.Is(err, unix.EBADF) || err.Error() != want {
		t.Errorf("%v, want %v", err, want)
	}
	w.fd = fd
	if err := errors.Join(w.WriteVec(pair, 0, 0), w.Flush()); err != nil {
		t.Errorf("a flush after one that failed: %v", err)
	}
}

// A file system that asks others for the end of a file may wait.
func TestWritesOnRemoteFileSystemsAreNeverInline(t *testing.T) {
	w := newImage(t, func(int) error { return nil })
	w.isLocal = false
	if err := w.WriteVec(pair, 0, backstores.NoWait); err != backstores.ErrWouldBlock {
		t.Errorf("%v, want ErrWouldBlock", err)
	}
	if err := w.WriteVec(pair, 0, 0); err != nil || !holdsPair(t, w) {
		t.Error(err)
	}
}
