package raw

import (
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores"
)

// A vectorIO moves vectors of buffers from or to a file, in one direction, and
// finds out whether that would block.
type vectorIO struct {
	fd   int
	one  func(fd int, p []byte, off int64) (int, error)
	many func(fd int, bufs [][]byte, off int64, flags int) (int, error)
	now  func(fd int, bufs [][]byte, off int64, flags int) (int, error) // like many, without telling the scheduler

	// noNowait is set once the file has refused RWF_NOWAIT in this direction.
	// From then on pace decides.
	noNowait atomic.Bool
	pace     pace
}

// maxNoWait is the longest vector that is moved under NoWait: the copy alone
// delays the commands behind it. Not measured yet; commands are rarely longer
// than 1 MiB.
const maxNoWait = 1 << 20

// move moves the n bytes of bufs. It ignores Durable.
func (v *vectorIO) move(bufs [][]byte, off, n int64, f backstores.Flag) error {
	if f&backstores.NoWait == 0 {
		if !v.noNowait.Load() {
			return v.run(bufs, off, 0, false)
		}
		return v.timed(bufs, off, n, false)
	}
	if n > maxNoWait {
		return backstores.ErrWouldBlock
	}
	if !v.noNowait.Load() {
		switch err := v.run(bufs, off, unix.RWF_NOWAIT, true); {
		case err == unix.EAGAIN:
			return backstores.ErrWouldBlock
		case err != unix.EOPNOTSUPP && err != unix.EINVAL: // EINVAL: F2FS, for buffered writes
			return err
		}
		v.noNowait.Store(true)
	}
	if !v.pace.fast() {
		return backstores.ErrWouldBlock
	}
	return v.timed(bufs, off, n, true)
}

// long is the length from which a call is not judged by its time alone. The time of a
// copy of 1 MiB differs by ten times: its pages may be in no CPU cache, or the thread
// may lose its CPU. Whether the thread slept is exact, and costs two system calls.
const long = 64 << 10

// timed moves bufs, and tells pace how long that waited.
func (v *vectorIO) timed(bufs [][]byte, off, n int64, now bool) error {
	var slept int64
	if n >= long {
		slept = sleeps()
	}
	start := clock()
	err := v.run(bufs, off, 0, now)
	waited := clock() - start
	if n >= long && sleeps() == slept {
		waited = 0
	}
	v.pace.took(waited)
	return err
}

// sleeps returns how often this thread has slept.
func sleeps() int64 {
	var use unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &use) // cannot fail
	return int64(use.Nvcsw)
}

// run moves all of bufs, or returns the error of the call that failed. Under
// RWF_NOWAIT a short transfer counts as EAGAIN.
func (v *vectorIO) run(bufs [][]byte, off int64, flags int, now bool) error {
	for len(bufs) > 0 {
		if len(bufs[0]) == 0 {
			bufs = bufs[1:]
			continue
		}
		var n int
		var err error
		switch {
		case now:
			n, err = v.now(v.fd, bufs[:min(len(bufs), maxVector)], off, flags)
		case len(bufs) == 1 && flags == 0:
			n, err = v.one(v.fd, bufs[0], off) // the kernel copies no vector
		default:
			n, err = v.many(v.fd, bufs[:min(len(bufs), maxVector)], off, flags)
		}
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		off += int64(n)
		for len(bufs) > 0 && n >= len(bufs[0]) {
			n -= len(bufs[0])
			bufs = bufs[1:]
		}
		if n > 0 {
			if flags&unix.RWF_NOWAIT != 0 {
				return unix.EAGAIN
			}
			// The caller's bufs must not change. A short transfer is rare
			// enough to allocate for.
			bufs = append([][]byte{bufs[0][n:]}, bufs[1:]...)
		}
	}
	return nil
}

// at moves one buffer, and waits as long as that takes.
func (v *vectorIO) at(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		n, err := v.one(v.fd, p[done:], off+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return done, err
		case n == 0:
			return done, io.ErrUnexpectedEOF
		}
		done += n
	}
	return len(p), nil
}
