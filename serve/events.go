package serve

import (
	"fmt"
	"os"
	"time"

	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

// An eventLog writes what happens to standard output, for programs: one object
// per line. Its methods are safe for concurrent use. A nil one writes nothing.
type eventLog struct {
	to *console.Writer
}

// An Event is one of its objects.
type Event struct {
	Event   string         `json:"event"` // ready, stats, warning, upgraded or exit
	Time    time.Time      `json:"time"`
	Disks   []control.Disk `json:"disks,omitempty"`
	Message string         `json:"message,omitempty"` // of a warning
	Error   string         `json:"error,omitempty"`   // of an exit
}

// newEventLog returns a log, or nil if events are not wanted.
func newEventLog(wanted bool) *eventLog {
	if !wanted {
		return nil
	}
	return &eventLog{console.NewWriter(os.Stdout)}
}

// emit writes an event.
func (l *eventLog) emit(e Event) error {
	if l == nil {
		return nil
	}
	e.Time = time.Now()
	return l.to.JSON(e)
}

// flush gives the reader a second to read the events.
func (l *eventLog) flush() error {
	if l == nil {
		return nil
	}
	return l.to.Flush()
}

// close gives the reader a second to read the events.
func (l *eventLog) close() error {
	if l == nil {
		return nil
	}
	if err := l.to.Close(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
