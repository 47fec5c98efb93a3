package main

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// An outlet writes to somebody who may not read: at ^S on a terminal, or with a
// pipe that is full. That must neither stall a disk nor keep it from being taken
// away. So a Write waits only a moment. Once one has waited in vain, those after
// it are queued without waiting until the queue is empty again, and dropped when
// it is full.
type outlet struct {
	queue chan *writing
	late  atomic.Bool // something has waited too long, and is not written yet
}

type writing struct {
	text []byte
	done chan error
}

// moment is how long a reader is waited for.
const moment = time.Second

var errUnread = errors.New("nobody reads what is written")

func newOutlet(to io.Writer) *outlet {
	o := &outlet{queue: make(chan *writing, 4096)}
	go o.pour(to) // until the process ends, as nothing else ends a write
	return o
}

func (o *outlet) pour(to io.Writer) {
	for w := range o.queue {
		var err error
		if len(w.text) > 0 {
			_, err = to.Write(w.text)
		}
		if len(o.queue) == 0 {
			o.late.Store(false)
		}
		w.done <- err
	}
}

// Write is safe for concurrent use.
func (o *outlet) Write(p []byte) (int, error) {
	w, err := o.put(bytes.Clone(p))
	if err == nil && !o.late.Load() {
		if err = w.wait(); err == errUnread {
			o.late.Store(true)
			err = nil // so far
		}
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush waits a moment for all to be written that has been given to Write.
func (o *outlet) flush() error {
	w, err := o.put(nil)
	if err != nil {
		return err
	}
	return w.wait()
}

func (o *outlet) put(text []byte) (*writing, error) {
	w := &writing{text, make(chan error, 1)}
	select {
	case o.queue <- w:
		return w, nil
	default:
		return nil, errUnread
	}
}

func (w *writing) wait() error {
	select {
	case err := <-w.done:
		return err
	case <-time.After(moment):
		return errUnread
	}
}
