package main

import (
	"encoding/json"
	"fmt"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
	"io"
	"time"
)

// events are what a program is told on stdout, with --json.
var events eventLog

// An eventLog is a stream of objects, one a line.
type eventLog struct {
	to *console.Writer // nil if nobody wants to know
}

// An event is one of them.
type event struct {
	Event   string         `json:"event"` // ready, stats, warning or exit
	Time    time.Time      `json:"time"`
	Disks   []control.Disk `json:"disks,omitempty"`
	Message string         `json:"message,omitempty"` // of a warning
	Error   string         `json:"error,omitempty"`   // of an exit
}

func (l *eventLog) open(w io.Writer) { l.to = console.NewWriter(w) }

// emit writes an event. It is safe for concurrent use.
func (l *eventLog) emit(e event) error {
	if l.to == nil {
		return nil
	}
	e.Time = time.Now()
	return json.NewEncoder(l.to).Encode(e)
}

// close waits a moment for the events to be read.
func (l *eventLog) close() error {
	if l.to == nil {
		return nil
	}
	if err := l.to.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
