package tcmu

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxWorkers bounds the goroutines that execute slow commands. Further slow
	// commands queue up; fast ones pass them.
	maxWorkers = 32

	// A batch of completions is published after at most this many commands or
	// bytes, which bounds the wait of its first command.
	maxBatch      = 16
	maxBatchBytes = 256 << 10
)

// A server is one call of Device.Serve.
type server struct {
	ring    *ring
	uio     *uio
	handler Handler
	settler Settler // the handler, or nil
	watcher *atomic.Pointer[Watcher]
	queue   *queue
	workers sync.WaitGroup
	started int // number of workers; used by the goroutine of Serve only
}

// Serve executes commands until ctx is done. What is on the ring then is left there,
// for another Serve, of this program or the next. When it returns, its goroutines
// have ended and nothing uses the mapping.
//
// Another Serve may be called when ctx is done, even if this one still waits for
// commands that it has taken: it begins when this one takes no more.
//
// Aborted commands are executed like others. The kernel does not complete the
// abort before them, and the loopback fabric reports them to the initiator as
// successful (tcm_loop_release_cmd of Linux 6.1 completes them with a result of
// zero), so their effects must be there.
//
// Before a device is removed, remove its LUN from its fabric before ctx is done: the
// removal waits for commands in flight, and only Serve can complete them.
func (d *Device) Serve(ctx context.Context, h Handler) error {
	d.taking.Lock()
	s := &server{ring: d.ring, uio: d.uio, handler: h, watcher: &d.watcher, queue: newQueue()}
	s.settler, _ = h.(Settler)
	d.uio.resume()
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		d.uio.interrupt()
	})
	err := s.takeAll(ctx)
	if !stop() {
		<-interrupted
	}
	d.taking.Unlock()
	s.queue.close()
	s.workers.Wait()
	return errors.Join(err, s.publish())
}

// takeAll takes commands until ctx is done.
func (s *server) takeAll(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.drain(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := s.uio.wait(); err != nil {
			return err
		}
	}
	return nil
}

// drain takes commands until the ring is empty or ctx is done. It executes those
// that do not have to wait and publishes them in batches; it queues the others for a
// worker.
func (s *server) drain(ctx context.Context) error {
	c := s.queue.newCommand()
	defer func() { s.queue.recycle(c) }()
	for commands, bytes := 0, 0; ; {
		taken, err := s.ring.take(c)
		if s.ring.taskManagement {
			if m, ok := s.handler.(TaskManager); ok {
				m.TaskManagement(s.ring.reset)
			}
		}
		if err != nil || !taken {
			return errors.Join(err, s.publish())
		}
		if c.watcher = s.watcher.Load(); c.watcher != nil {
			c.taken = time.Now()
		}
		if !s.execute(c, false) {
			s.enqueue(c)
			c = s.queue.newCommand()
			if ctx.Err() != nil { // the initiator may never let the ring be empty
				return s.publish()
			}
			continue
		}
		commands++
		for _, b := range c.data {
			bytes += len(b)
		}
		if commands >= maxBatch || bytes >= maxBatchBytes {
			commands, bytes = 0, 0
			if err := s.publish(); err != nil || ctx.Err() != nil {
				return err
			}
		}
	}
}

// execute executes and completes c, and reports whether it did not have to wait.
func (s *server) execute(c *command, wait bool) bool {
	r, err := s.handler.Execute(c.cdb, c.data, wait)
	if err != nil {
		return false
	}
	if c.watcher != nil {
		(*c.watcher).Watch(c.cdb, c.data, r, time.Since(c.taken))
	}
	s.ring.complete(c.id, r) // from here on the buffers are the kernel's
	return true
}

// publish makes the completions since the last call visible to the kernel.
func (s *server) publish() error {
	if !s.ring.publish() {
		return nil
	}
	return s.uio.kick()
}

// enqueue queues c, and starts a worker if none is idle.
func (s *server) enqueue(c *command) {
	if !s.queue.put(c) || s.started == maxWorkers {
		return
	}
	s.started++
	s.workers.Go(func() {
		for c := s.queue.take(); c != nil; c = s.queue.take() {
			s.execute(c, true)
			// If kicking the kernel fails, the device is gone; the goroutine
			// of Serve gets the same error and returns it.
			_ = s.publish()
			if s.settler != nil {
				s.settler.Settled(c.cdb)
			}
			s.queue.recycle(c)
		}
	})
}
