package main

import (
	"errors"
	"fmt"
	"github.com/lunserve/lunserve/serve/console"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"

	"github.com/lunserve/lunserve/tcmu/scsi"
)

// A traceFlag is --trace or --trace=FILE.
type traceFlag struct {
	On   bool
	File string
}

// IsBool lets the flag stand without a value.
func (*traceFlag) IsBool() bool { return true }

func (f *traceFlag) Decode(ctx *kong.DecodeContext) error {
	f.On = true
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		f.File = ctx.Scan.Pop().String()
	}
	return nil
}

// A tracer writes a line for each command. Whoever executes the commands does
// not wait for that: a disk must not stand still because nobody reads what is
// said of it. Lines for which there is no room are counted.
type tracer struct {
	to    io.Writer
	start time.Time
	many  bool // disks
	lines chan string
	lost  atomic.Uint64
	done  sync.WaitGroup
}

// open starts to trace the commands of all disks, until down is run.
func (f *traceFlag) open(exports []*export, down *undo) error {
	t := &tracer{start: time.Now(), many: len(exports) > 1, lines: make(chan string, 4096)}
	if f.File != "" {
		file, err := os.Create(f.File)
		if err != nil {
			return err
		}
		out := console.NewWriter(file)
		down.push(func() error { return errors.Join(out.Flush(), file.Close()) })
		t.to = out
	} else {
		t.to = con
	}
	down.push(func() error {
		close(t.lines)
		t.done.Wait()
		if n := t.lost.Load(); n > 0 {
			con.Warn(fmt.Errorf("%d commands are not in the trace, which could not be written fast enough", n))
		}
		return nil
	})
	t.done.Go(t.write)
	for _, x := range exports {
		x.watch.trace = func(cdb []byte, data [][]byte, status byte, sense []byte, took time.Duration) {
			t.add(x, cdb, data, status, sense, took)
		}
	}
	return nil
}

// add notes a command. The columns are the seconds since the start, how long it
// took, the LUN if there are several, the command, what it asks for, and what
// came of it.
func (t *tracer) add(x *export, cdb []byte, data [][]byte, status byte, sense []byte, took time.Duration) {
	lun := ""
	if t.many {
		lun = fmt.Sprintf("LUN %d  ", x.lun)
	}
	name, what := x.disk.Describe(cdb, data)
	line := fmt.Sprintf("%11.6f %7.0f µs  %s%-21s %-28s  %s\n", time.Since(t.start).Seconds(), micros(took), lun,
		name, what, scsi.Outcome(status, sense))
	select {
	case t.lines <- line:
	default:
		t.lost.Add(1)
	}
}

// write writes lines together if they come fast: what an outlet is given is
// handed on to another goroutine, which takes as long as to write three lines.
func (t *tracer) write() {
	for line := range t.lines {
		text, n := []byte(line), uint64(1)
		for ; len(t.lines) > 0 && len(text) < 4096; n++ {
			text = append(text, <-t.lines...)
		}
		if _, err := t.to.Write(text); err != nil {
			t.lost.Add(n)
		}
	}
}
