package e2e

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A recorder keeps the contents of a file, and all writes and flushes in their
// order, so that the file can be had as a power cut at any time would leave it.
type recorder struct {
	file *os.File // the contents now
	old  string   // a file with those at the start

	mu  sync.Mutex
	ops []operation
}

// An operation is a write of data or of zeros, or a flush.
type operation struct {
	off, n  int64
	data    []byte // nil for zeros
	durable bool   // a write that is flushed alone
	flush   bool
}

// recordFile starts to record the writes to a file, and returns the path by which it must
// be written.
func recordFile(t *testing.T, path string) (*recorder, string) {
	t.Helper()
	old := path + ".old"
	run(t, "cp", "--sparse=always", path, old)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{file: f, old: old}
	return r, mountFUSE(t, &fuse{size: uint64(fi.Size()), record: r}).dir + "/image"
}

// now returns how many operations there were.
func (r *recorder) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

func (r *recorder) add(o operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
}

func (r *recorder) read(p []byte, off int64) ([]byte, unix.Errno) {
	n, err := r.file.ReadAt(p, off)
	if err != nil && err != io.EOF {
		return nil, unix.EIO
	}
	return p[:n], 0
}

func (r *recorder) write(data []byte, off int64, durable bool) unix.Errno {
	o := operation{off: off, n: int64(len(data)), data: bytes.Clone(data), durable: durable}
	if o.do(r.file) != nil {
		return unix.EIO
	}
	r.add(o)
	return 0
}

func (r *recorder) clear(off, n int64, mode uint32) unix.Errno {
	if mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) == 0 {
		return unix.EOPNOTSUPP
	}
	o := operation{off: off, n: n}
	if o.do(r.file) != nil {
		return unix.EIO
	}
	r.add(o)
	return 0
}

func (r *recorder) flush() { r.add(operation{flush: true}) }

func (o operation) do(f *os.File) error {
	switch {
	case o.flush:
		return nil
	case o.data == nil:
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, o.off, o.n)
	}
	_, err := f.WriteAt(o.data, o.off)
	return err
}

// flushes returns after how many operations something was flushed.
func (r *recorder) flushes() (at []int) {
	for i, o := range r.ops {
		if o.flush || o.durable {
			at = append(at, i+1)
		}
	}
	return at
}

// cut makes a file with the contents after a power cut, when there had been n
// operations. Of those that were not flushed all are in the file if r is nil, else
// any part.
func (rec *recorder) cut(t *testing.T, path string, n int, r *rand.Rand) {
	t.Helper()
	run(t, "cp", "--sparse=always", rec.old, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flushed := 0
	for i, o := range rec.ops[:n] {
		if o.flush {
			flushed = i
		}
	}
	for i, o := range rec.ops[:n] {
		if r == nil || i < flushed || o.durable {
			err = o.do(f)
		} else {
			err = o.doPart(f, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// doPart does any part of an operation. Pages are written at once, as from the page
// cache: ext4 relies on that for its superblock, which has a checksum.
func (o operation) doPart(f *os.File, r *rand.Rand) error {
	const page = 4096
	for at := int64(0); at < o.n; {
		n := min(o.n-at, page-(o.off+at)%page)
		if r.IntN(2) == 0 {
			part := operation{off: o.off + at, n: n}
			if o.data != nil {
				part.data = o.data[at : at+n]
			}
			if err := part.do(f); err != nil {
				return err
			}
		}
		at += n
	}
	return nil
}
