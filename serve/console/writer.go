package console

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A Writer is a [Printer] for a reader that may have stopped reading: a terminal
// at ^S, a full pipe. Neither may stall a disk or keep it from being removed. So
// a write waits at most a second. Once one has timed out, later ones are queued
// without waiting until the queue is empty again, and dropped when it is full.
type Writer struct {
	*Printer
	queue   chan *write
	stalled atomic.Bool // a write has timed out and is still queued

	mu     sync.Mutex // for closed, and for sends to queue, which Close closes
	closed bool
}

type write struct {
	text []byte
	done chan error
}

// writeTimeout is how long a write waits for the reader.
const writeTimeout = time.Second

var errNotRead = errors.New("write: timed out; the reader has stopped")

// NewWriter returns a Writer to w. Close it.
func NewWriter(w io.Writer) *Writer {
	o := &Writer{queue: make(chan *write, 4096)}
	o.Printer = NewPrinter(writerFunc(o.write))
	go o.run(w)
	return o
}

// run writes what is queued, until Close. It never returns if a write does not.
func (o *Writer) run(to io.Writer) {
	if f, ok := to.(*os.File); ok && Columns(f) > 0 {
		writeInBackground()
	}
	for w := range o.queue {
		var err error
		if len(w.text) > 0 {
			_, err = to.Write(w.text)
		}
		if len(o.queue) == 0 {
			o.stalled.Store(false)
		}
		w.done <- err
	}
}

// A writerFunc writes as an io.Writer does.
type writerFunc func([]byte) (int, error)

// Write implements [io.Writer].
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// write is safe for concurrent use. It returns the error of the write unless
// that times out. The text is not escaped.
func (o *Writer) write(p []byte) (int, error) {
	w, err := o.put(bytes.Clone(p))
	if err == nil && !o.stalled.Load() {
		if err = w.wait(); err == errNotRead {
			o.stalled.Store(true)
			err = nil // it may still be read
		}
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Stalled reports whether a write has timed out and is still queued.
func (o *Writer) Stalled() bool { return o.stalled.Load() }

// Flush waits until everything queued is written, or a second has passed.
func (o *Writer) Flush() error {
	w, err := o.put(nil)
	if err != nil {
		return err
	}
	return w.wait()
}

// Close flushes and ends the writer. A later Write fails with [os.ErrClosed]: a
// goroutine that waits for storage may outlive its job. A second Close does
// nothing.
func (o *Writer) Close() error {
	err := o.Flush()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	close(o.queue)
	return err
}

func (o *Writer) put(text []byte) (*write, error) {
	w := &write{text, make(chan error, 1)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, os.ErrClosed
	}
	select {
	case o.queue <- w:
		return w, nil
	default:
		return nil, errNotRead
	}
}

func (w *write) wait() error {
	select {
	case err := <-w.done:
		return err
	case <-time.After(writeTimeout):
		return errNotRead
	}
}
