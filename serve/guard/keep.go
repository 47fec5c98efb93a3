package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// maxKept bounds what a guard keeps, in bytes.
const maxKept = 4 << 20

// Keep has the guard, and those that come after it, keep a text for who takes the place
// of this process, see [Death]. When it returns without an error, the guard has it.
// After an error it keeps the one before, see [Guard.KeepAgain]. Only one goroutine may
// call it.
func (g *Guard) Keep(text []byte) error {
	if len(text) > maxKept {
		return fmt.Errorf("%d bytes for the guard to keep, more than %d", len(text), maxKept)
	}
	before := g.keeps(text)
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		a, err := g.ask(question{Keep: text}, nil)
		if err == nil && a.Error != "" {
			err = errors.New(a.Error)
		}
		switch {
		case err == nil:
			g.mu.Lock()
			defer g.mu.Unlock()
			g.again = false
			return nil
		case !errors.Is(err, errGone):
			g.keeps(before)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.again = true
			if errors.Is(err, errSilent) {
				g.silent = time.Now().Add(askTime)
			}
			if g.guard != nil { // it may read both when it goes on
				_ = send(g.guard.socket, question{Keep: before}, nil)
			}
			return err
		}
		select {
		case <-changed: // to another guard
		case <-g.ended: // nobody takes the place of this process any more
			return nil
		}
	}
}

// KeepAgain reports whether Keep is to be tried again: the last one failed, or a guard that
// was started later has refused the text. A guard that is stopped has to answer first.
func (g *Guard) KeepAgain() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.again && g.guard != nil && g.silent.IsZero()
}

// keeps sets the text for the guards to come, and returns the one before.
func (g *Guard) keeps(text []byte) (before []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, g.kept = g.kept, text
	return before
}

// keep takes the text of a question, in the guard.
func (d *Death) keep(line []byte, socket *os.File, accept func(int, []byte) error) (is bool) {
	var q question
	if json.Unmarshal(line, &q) != nil || q.Keep == nil {
		return false
	}
	a := answer{ID: q.ID}
	if err := accept(d.PID, q.Keep); err != nil {
		a.Error = err.Error()
	} else {
		d.Kept = q.Keep
	}
	go func() { _ = send(socket, a, nil) }() // the end of the server does not wait for it
	return true
}
