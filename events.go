package main

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// events are what a program is told on stdout, with --json.
var events eventLog

// An eventLog is a stream of objects, one a line.
type eventLog struct {
	mu sync.Mutex
	to *json.Encoder // nil if nobody wants to know
}

// An event is one of them.
type event struct {
	Event   string    `json:"event"` // ready, stats, warning or exit
	Time    time.Time `json:"time"`
	Disks   []state   `json:"disks,omitempty"`
	Message string    `json:"message,omitempty"` // of a warning
	Error   string    `json:"error,omitempty"`   // of an exit
}

func (l *eventLog) open(w io.Writer) { l.to = json.NewEncoder(w) }

// emit writes an event. It is safe for concurrent use.
func (l *eventLog) emit(e event) error {
	if l.to == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Time = time.Now()
	return l.to.Encode(e)
}
