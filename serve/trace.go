package serve

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A tracer writes a line for each command. Goroutines that execute commands do
// not wait for it: a trace that is not read must not stop a disk. Lines that do
// not fit into the queue are counted.
type tracer struct {
	to interface {
		Lines(texts ...string) error
		Flush() error
	}
	file    *ownFile // or nil
	start   time.Time
	many    bool // disks
	lines   chan string
	dropped atomic.Uint64
	writing sync.WaitGroup
}

// trace traces the commands of all disks.
func (s *service) trace(down *configfs.Undo) error {
	t := &tracer{to: s.console, start: time.Now(), many: len(s.disks) > 1, lines: make(chan string, 4096)}
	if s.taken != nil {
		t.start = s.taken.Started
	}
	if name := s.options.TraceFile; name != "" {
		file, err := s.traceFile(name)
		if err != nil {
			return err
		}
		t.file = file
		w := console.NewWriter(file)
		down.Push(func() error { return errors.Join(w.Close(), file.close()) })
		t.to = w
	}
	down.Push(func() error {
		close(t.lines)
		t.writing.Wait()
		if n := t.dropped.Load(); n > 0 {
			s.console.Warn(fmt.Errorf("%d commands are missing from the trace: it could not be written fast enough", n))
		}
		return nil
	})
	t.writing.Go(t.write)
	s.tracer = t
	for _, d := range s.disks {
		d.watch.trace = func(cdb []byte, data [][]byte, status byte, sense []byte, took time.Duration) {
			t.add(d, cdb, data, status, sense, took)
		}
	}
	return nil
}

// traceFile makes the file of the trace, or goes on with that of the program
// before.
func (s *service) traceFile(name string) (*ownFile, error) {
	if s.taken != nil && s.taken.Trace >= 0 {
		return &ownFile{File: os.NewFile(uintptr(s.taken.Trace), name)}, nil
	}
	return traceFiles.create(name, nil)
}

// flush writes what is queued. No command may be executed meanwhile.
func (t *tracer) flush() error {
	if t == nil {
		return nil
	}
	close(t.lines)
	t.writing.Wait()
	err := t.to.Flush()
	t.lines = make(chan string, cap(t.lines))
	t.writing.Go(t.write)
	if err != nil {
		return tryAgain(fmt.Errorf("the trace: %w", err))
	}
	return nil
}

// add queues the line of a command: the seconds since the start, how long it took,
// its LUN if there are several, its name, its fields, and its status.
func (t *tracer) add(d *disk, cdb []byte, data [][]byte, status byte, sense []byte, took time.Duration) {
	lun := ""
	if t.many {
		lun = fmt.Sprintf("LUN %d  ", d.lun)
	}
	name, fields := d.device.unit.Describe(cdb, data)
	line := fmt.Sprintf("%11.6f %7.0f µs  %s%-21s %-28s  %s", time.Since(t.start).Seconds(), micros(took), lun,
		name, fields, scsi.Outcome(status, sense))
	select {
	case t.lines <- line:
	default:
		t.dropped.Add(1)
	}
}

// write writes lines together if they come fast: a console.Writer hands text to
// another goroutine, which takes as long as writing three lines.
func (t *tracer) write() {
	for line := range t.lines {
		together := []string{line}
		for len(t.lines) > 0 && len(together) < maxTogether {
			together = append(together, <-t.lines)
		}
		if err := t.to.Lines(together...); err != nil {
			t.dropped.Add(uint64(len(together)))
		}
	}
}

// maxTogether lines are about 4 KiB.
const maxTogether = 40
