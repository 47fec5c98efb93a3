package entry

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Send writes text to the stream at path, see [Stream], and closes it, so that a
// reader of a FIFO comes to its end. stop is nil if there is no stream at path.
//
// A FIFO loses what is in it when nobody has it open. So if it has no reader yet,
// Send returns, and writes the text when there is one. stop ends that.
func Send(path string, text []byte) (stop func(), err error) {
	fd, st, err := lookUp(path)
	if fd < 0 || err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFIFO && standard(st) == 0 {
		return sendFIFO(path, fd, text)
	}
	defer unix.Close(fd)
	f, err := openStream(path, fd, st)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return func() {}, nil
}

// sendFIFO is Send for a FIFO, which is open with O_PATH as fd. It takes fd over.
func sendFIFO(path string, fd int, text []byte) (stop func(), err error) {
	w, err := reopen(fd, unix.O_WRONLY|unix.O_NONBLOCK)
	if err == nil {
		err = writeOnce(w, text)
	}
	if err != unix.ENXIO { // else it has no reader
		unix.Close(fd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return func() {}, nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if w, err := reopen(fd, unix.O_WRONLY); err == nil { // waits for a reader
			_ = unix.SetNonblock(w, true)
			_ = writeOnce(w, text) // the reader may have gone
		}
	}()
	return func() {
		defer unix.Close(fd)
		// With a reader, the goroutine ends.
		r, err := reopen(fd, unix.O_RDONLY|unix.O_NONBLOCK)
		if err == nil {
			<-done
			unix.Close(r)
		}
	}, nil
}

// writeOnce writes a line to a FIFO and closes it. It does not wait for a reader who
// lets the FIFO fill up.
func writeOnce(fd int, text []byte) error {
	err := retry(func() error {
		_, err := unix.Write(fd, text)
		return err
	})
	unix.Close(fd)
	return err
}
