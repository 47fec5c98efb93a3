package backstores

import (
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A mover moves vectors of buffers from or to a file, in one direction, and
// answers whether doing so would block.
type mover struct {
	fd   int
	one  func(fd int, p []byte, off int64) (int, error)
	many func(fd int, bufs [][]byte, off int64, flags int) (int, error)
	now  func(fd int, bufs [][]byte, off int64, flags int) (int, error) // as many, but on the spot

	// blind is set when the file has refused RWF_NOWAIT in this direction.
	// From then on pace is asked.
	blind atomic.Bool
	pace  pace
}

// NoWait moves no more than this. The copy of a longer vector is a wait for
// those behind it too. Not yet measured; 1 MiB is the longest command that is
// usual.
const longest = 1 << 20

// move moves the n bytes of bufs. Durable is not its business.
func (m *mover) move(bufs [][]byte, off, n int64, f Flag) error {
	if f&NoWait == 0 {
		if !m.blind.Load() {
			return m.run(bufs, off, 0, false)
		}
		return m.timed(bufs, off, n, false)
	}
	if n > longest {
		return ErrWouldBlock
	}
	if !m.blind.Load() {
		switch err := m.run(bufs, off, unix.RWF_NOWAIT, true); {
		case err == unix.EAGAIN:
			return ErrWouldBlock
		case err != unix.EOPNOTSUPP && err != unix.EINVAL: // EINVAL: F2FS, of buffered writes
			return err
		}
		m.blind.Store(true)
	}
	if !m.pace.fast() {
		return ErrWouldBlock
	}
	return m.timed(bufs, off, n, true)
}

func (m *mover) timed(bufs [][]byte, off, n int64, now bool) error {
	start := clock()
	err := m.run(bufs, off, 0, now)
	m.pace.took(clock()-start, n)
	return err
}

// run moves all of bufs, or returns the error of the call that did not. Under
// RWF_NOWAIT a call that moved less than asked counts as EAGAIN.
func (m *mover) run(bufs [][]byte, off int64, flags int, now bool) error {
	for len(bufs) > 0 {
		if len(bufs[0]) == 0 {
			bufs = bufs[1:]
			continue
		}
		var n int
		var err error
		switch {
		case now:
			n, err = m.now(m.fd, bufs[:min(len(bufs), manyAtOnce)], off, flags)
		case len(bufs) == 1 && flags == 0:
			n, err = m.one(m.fd, bufs[0], off) // has no vector to copy in
		default:
			n, err = m.many(m.fd, bufs[:min(len(bufs), manyAtOnce)], off, flags)
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
			// The caller's bufs stay as they are. This is rare enough to
			// allocate.
			bufs = append([][]byte{bufs[0][n:]}, bufs[1:]...)
		}
	}
	return nil
}

// at moves one buffer, however long that takes.
func (m *mover) at(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		n, err := m.one(m.fd, p[done:], off+int64(done))
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
