package scsi

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
)

// A sanitizer is the state of a SANITIZE operation: of the one that runs, or of
// the last one. It is safe for concurrent use.
type sanitizer struct {
	running     atomic.Bool
	progress    atomic.Uint32 // in 65536ths
	failed      atomic.Bool
	exitAllowed atomic.Bool // EXIT FAILURE MODE may end the failed state

	stop       atomic.Bool
	background sync.WaitGroup

	mu       sync.Mutex
	released chan struct{} // closed to complete the command before the operation ends; nil if no command waits
}

// inProgress returns the reason that other commands fail while the operation
// runs, or nil.
func (s *sanitizer) inProgress() error {
	if !s.running.Load() {
		return nil
	}
	sense := sanitizeInProgress
	sense.Progress, sense.HasProgress = uint16(s.progress.Load()), true
	return sense
}

// release completes the command that waits for the end of the operation, if
// any.
func (s *sanitizer) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released != nil {
		close(s.released)
		s.released = nil
	}
}

// blockErase is SBC-4, SANITIZE command, BLOCK ERASE service action. Erased
// blocks read as zeros.
func (d *Disk) blockErase(r request) (int, error) {
	if binary.BigEndian.Uint16(r.cdb[7:]) != 0 {
		return 0, badField(7, -1)
	}
	r.ignoreDataOut()
	return 0, d.sanitize(r, 1, func(_ int, off, n int64) error {
		return backstores.Trim(d.store, off, n)
	})
}

// overwrite is SBC-4, SANITIZE command, OVERWRITE service action. It writes
// the pattern of the parameter list to every block in each pass; with INVERT,
// every second pass writes the inverted pattern.
func (d *Disk) overwrite(r request) (int, error) {
	list, err := r.copyOut(int(binary.BigEndian.Uint16(r.cdb[7:])))
	if err != nil {
		return 0, err
	}
	const header = 4
	if len(list) <= header {
		return 0, badField(7, -1)
	}
	passes, invert := int(list[0]&0x1f), list[0]&0x80 != 0
	length := int(binary.BigEndian.Uint16(list[2:]))
	switch {
	case passes == 0 || list[0]&0x60 != 0:
		return 0, badParameter(0)
	case length == 0 || length > d.BlockSize || length != len(list)-header:
		return 0, badParameter(2)
	}
	block := copies(bytes.Repeat(list[header:], d.BlockSize/length+1)[:d.BlockSize])
	inverted := bytes.Clone(block)
	for i := range inverted {
		inverted[i] = ^inverted[i]
	}
	return 0, d.sanitize(r, passes, func(pass int, off, n int64) error {
		if invert && pass%2 == 1 {
			return d.repeat(inverted, off, n)
		}
		return d.repeat(block, off, n)
	})
}

// exitFailureMode is SBC-4, SANITIZE command, EXIT FAILURE MODE service
// action.
func (d *Disk) exitFailureMode(r request) (int, error) {
	if d.sanitizer.failed.Load() && !d.sanitizer.exitAllowed.Load() {
		return 0, badField(1, 4)
	}
	d.sanitizer.failed.Store(false)
	d.medium.refresh(&d.sanitizer)
	return 0, nil
}

// sanitize calls erase for all of the medium in each pass, and flushes. The
// operation continues if the command is aborted or its initiator goes away.
func (d *Disk) sanitize(r request, passes int, erase func(pass int, off, n int64) error) error {
	s := &d.sanitizer
	if !s.running.CompareAndSwap(false, true) {
		return s.inProgress()
	}
	s.exitAllowed.Store(r.cdb[1]&0x20 != 0) // AUSE
	s.progress.Store(0)
	d.medium.refresh(s)
	released, done := make(chan struct{}), make(chan error, 1)
	s.mu.Lock()
	s.released = released
	s.mu.Unlock()
	s.background.Go(func() {
		// No command that was checked before may still write.
		all, _ := d.tasks.enter(task{end: math.MaxUint64, exclusive: true}, true)
		defer d.tasks.leave(all)
		err := d.eraseAll(passes, erase)
		s.failed.Store(err != nil)
		s.running.Store(false)
		d.medium.refresh(s)
		if err != nil {
			if d.Report != nil {
				d.Report(sanitizeFailed.withCause(err))
			}
			err = sanitizeFailed
		}
		done <- err
	})
	if r.cdb[1]&0x80 != 0 { // IMMED
		return nil
	}
	if r.held && r.managed != d.managed.Load() { // it may have been aborted while it was held
		s.release()
	}
	select {
	case err := <-done:
		return err
	case <-released:
		return s.inProgress()
	}
}

// eraseAll calls erase for consecutive parts of the medium, and flushes after
// each pass.
func (d *Disk) eraseAll(passes int, erase func(pass int, off, n int64) error) error {
	const part = 16 << 20
	slice := task{name: "SANITIZE"}
	size := d.Size()
	for pass := range passes {
		for off := int64(0); off < size; off += part {
			if d.sanitizer.stop.Load() {
				return errStopped
			}
			if err := d.during(slice, func() error { return erase(pass, off, min(part, size-off)) }); err != nil {
				return err
			}
			done := (float64(pass) + float64(off)/float64(size)) / float64(passes)
			d.sanitizer.progress.Store(uint32(done * math.MaxUint16))
		}
		if err := d.during(slice, func() error { return backstores.Flush(d.store) }); err != nil {
			return err
		}
	}
	return nil
}
