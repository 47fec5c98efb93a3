package scsi

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"

	"github.com/lunserve/lunserve/backstores"
)

// A sanitizing is the state of a SANITIZE command and of what it left. It is
// safe for concurrent use.
type sanitizing struct {
	running  atomic.Bool
	progress atomic.Uint32 // in 65536ths
	failed   atomic.Bool
	mayExit  atomic.Bool // out of the failed state, by EXIT FAILURE MODE

	stop       atomic.Bool
	background sync.WaitGroup

	mu    sync.Mutex
	waits chan struct{} // closed when nobody waits for the status any more; nil then
}

// state says why no other command can be answered.
func (s *sanitizing) state() error {
	if !s.running.Load() {
		return nil
	}
	sense := sanitizeInProgress
	sense.Progress, sense.HasProgress = uint16(s.progress.Load()), true
	return sense
}

// release has the command answered before its end.
func (s *sanitizing) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits != nil {
		close(s.waits)
		s.waits = nil
	}
}

// TaskManagement is what becomes of the disk when commands are aborted or, with
// reset, the unit is reset (SAM-6, Task management functions): of the commands
// none but SANITIZE takes long enough to be noticed, and that is not stopped.
func (d *Disk) TaskManagement(reset bool) {
	d.sanitizing.release()
	if reset {
		d.medium.allow()
	}
}

// Close ends a SANITIZE before its end. The store must not be closed before.
func (d *Disk) Close() {
	d.sanitizing.stop.Store(true)
	d.sanitizing.background.Wait()
}

// blockErase is SBC-4, SANITIZE command, BLOCK ERASE service action. What is
// erased reads as zeros.
func (d *Disk) blockErase(r request) (int, error) {
	if binary.BigEndian.Uint16(r.cdb[7:]) != 0 {
		return 0, badField(7, -1)
	}
	r.unused()
	return 0, d.sanitize(r, 1, func(_ int, off, n int64) error {
		return backstores.Trim(d.store, off, n)
	})
}

// overwrite is SBC-4, SANITIZE command, OVERWRITE service action: the pattern
// of the parameter list goes into every block, as often as it says, and with
// INVERT every second time inverted.
func (d *Disk) overwrite(r request) (int, error) {
	list, err := r.list(int(binary.BigEndian.Uint16(r.cdb[7:])))
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
	block := bytes.Repeat(list[header:], d.BlockSize/length+1)[:d.BlockSize]
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
	if d.sanitizing.failed.Load() && !d.sanitizing.mayExit.Load() {
		return 0, badField(1, 4)
	}
	d.sanitizing.failed.Store(false)
	d.medium.refresh(&d.sanitizing)
	return 0, nil
}

// sanitize runs erase over all of the medium, passes times, and makes it
// durable. It goes on whatever becomes of the command, and whoever sent it.
func (d *Disk) sanitize(r request, passes int, erase func(pass int, off, n int64) error) error {
	s := &d.sanitizing
	if !s.running.CompareAndSwap(false, true) {
		return s.state()
	}
	s.mayExit.Store(r.cdb[1]&0x20 != 0) // AUSE
	s.progress.Store(0)
	d.medium.refresh(s)
	waits, done := make(chan struct{}), make(chan error, 1)
	s.mu.Lock()
	s.waits = waits
	s.mu.Unlock()
	s.background.Go(func() {
		d.lock.Lock()
		defer d.lock.Unlock()
		err := d.everywhere(passes, erase)
		s.failed.Store(err != nil)
		s.running.Store(false)
		d.medium.refresh(s)
		if err != nil {
			if d.Report != nil {
				d.Report(sanitizeFailed.because(err))
			}
			err = sanitizeFailed
		}
		done <- err
	})
	if r.cdb[1]&0x80 != 0 { // IMMED
		return nil
	}
	select {
	case err := <-done:
		return err
	case <-waits:
		return s.state()
	}
}

// everywhere calls erase for all of the medium, in parts.
func (d *Disk) everywhere(passes int, erase func(pass int, off, n int64) error) error {
	const part = 16 << 20
	size := d.Size()
	for pass := range passes {
		for off := int64(0); off < size; off += part {
			if d.sanitizing.stop.Load() {
				return errStopped
			}
			if err := erase(pass, off, min(part, size-off)); err != nil {
				return err
			}
			done := (float64(pass) + float64(off)/float64(size)) / float64(passes)
			d.sanitizing.progress.Store(uint32(done * math.MaxUint16))
		}
		if err := backstores.Flush(d.store); err != nil {
			return err
		}
	}
	return nil
}
