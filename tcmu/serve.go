package tcmu

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A Handler executes SCSI commands. Its method is called by several goroutines
// at once.
type Handler interface {
	// Execute executes the command in cdb, which may have up to seven bytes
	// more than the command. data are the buffers to take data-out from or to
	// put data-in into, of any number and size; neither they nor cdb may be
	// used after Execute returns.
	//
	// It returns the SCSI status, the number of bytes of data-in it put into
	// data, and the sense data where the status is CHECK CONDITION. Of data-in
	// the initiator gets n bytes if n > 0, but all of data if n is 0: buffers
	// hold what earlier commands left there.
	//
	// If wait is false, Execute must not wait for anything slow; ok false says
	// that it would have to, and then the same command comes again, in another
	// goroutine, with wait true. What it did in between must bear repeating.
	Execute(cdb []byte, data [][]byte, wait bool) (status byte, n int, sense []byte, ok bool)
}

// A TaskManager is a Handler that wants to know of task management.
type TaskManager interface {
	// TaskManagement tells that the initiators no longer wait for commands,
	// which may be in Execute, or, with reset, that the unit was reset.
	// Commands that Execute gets later came later. It must not wait for
	// anything.
	TaskManagement(reset bool)
}

const (
	// maxWorkers bounds the goroutines that wait for slow commands. More
	// commands than that queue up; the fast ones go past them.
	maxWorkers = 32

	// A batch of answers is shown to the kernel at the latest when so many
	// commands or bytes are done, so that the first does not wait for the last.
	maxBatch      = 16
	maxBatchBytes = 256 << 10
)

// A server is one run of Device.Serve.
type server struct {
	ring    *ring
	uio     *uio
	handler Handler
	watcher *atomic.Pointer[Watcher]
	queue   *queue
	workers sync.WaitGroup
	started int // workers; touched by the ring's goroutine alone
}

// Serve executes commands until ctx is done, and then those already on the
// ring. It starts no goroutine that outlives it: when Serve returns, nothing
// uses the mapping. Only one Serve may run at a time.
//
// Commands that were aborted are executed like others. The kernel does not
// answer the abort before they are; and its loopback tells their initiator
// that they have succeeded (tcm_loop_release_cmd of Linux 6.1 completes them
// with a result of zero), so they had better.
//
// Take the LUN out of its fabric before ctx is done: the kernel waits there
// for commands in flight, and only Serve can answer them.
func (d *Device) Serve(ctx context.Context, h Handler) (err error) {
	s := &server{ring: d.ring, uio: d.uio, handler: h, watcher: &d.watcher, queue: newQueue()}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		d.uio.interrupt()
	})
	defer func() {
		s.queue.close()
		s.workers.Wait()
		err = errors.Join(err, s.show())
		if !stop() {
			<-interrupted
		}
	}()
	for {
		if err := s.drain(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := d.uio.wait(); err != nil {
			return err
		}
	}
}

// drain takes commands until there are none. What can be answered at once is
// answered here, in batches; what would have to wait goes to a worker.
func (s *server) drain() error {
	c := s.queue.blank()
	defer func() { s.queue.recycle(c) }()
	for commands, bytes := 0, 0; ; {
		taken, err := s.ring.take(c)
		if s.ring.managed {
			if m, ok := s.handler.(TaskManager); ok {
				m.TaskManagement(s.ring.reset)
			}
		}
		if err != nil || !taken {
			return errors.Join(err, s.show())
		}
		if c.watcher = s.watcher.Load(); c.watcher != nil {
			c.taken = time.Now()
		}
		if !s.execute(c, false) {
			s.handOver(c)
			c = s.queue.blank()
			continue
		}
		commands++
		for _, b := range c.data {
			bytes += len(b)
		}
		if commands >= maxBatch || bytes >= maxBatchBytes {
			commands, bytes = 0, 0
			if err := s.show(); err != nil {
				return err
			}
		}
	}
}

// execute executes c and writes its answer, or says that it would have to wait.
func (s *server) execute(c *command, wait bool) bool {
	status, n, sense, ok := s.handler.Execute(c.cdb, c.data, wait)
	if ok {
		s.answer(c, status, n, sense)
	}
	return ok
}

// answer writes the answer to c. From then on its buffers are others'.
func (s *server) answer(c *command, status byte, n int, sense []byte) {
	if c.watcher != nil {
		(*c.watcher).Watch(c.cdb, c.data, status, n, sense, time.Since(c.taken))
	}
	s.ring.answer(c.id, status, n, sense)
}

// show tells the kernel of the answers that it has not seen.
func (s *server) show() error {
	if !s.ring.publish() {
		return nil
	}
	return s.uio.kick()
}

// handOver gives c to a worker.
func (s *server) handOver(c *command) {
	if !s.queue.put(c) || s.started == maxWorkers {
		return
	}
	s.started++
	s.workers.Go(func() {
		for c := s.queue.take(); c != nil; c = s.queue.take() {
			s.execute(c, true)
			s.queue.recycle(c)
			// A ring that cannot be kicked is gone; the ring's goroutine
			// meets the same error and reports it.
			_ = s.show()
		}
	})
}
