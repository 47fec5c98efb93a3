package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What is written is there when Write returns, as without an outlet.
func TestOutletWrites(t *testing.T) {
	var to strings.Builder
	o := newOutlet(&to)
	for _, text := range []string{"a\n", "", "b\n"} {
		if n, err := io.WriteString(o, text); n != len(text) || err != nil {
			t.Errorf("Write(%q) = %d, %v", text, n, err)
		}
	}
	if got := to.String(); got != "a\nb\n" {
		t.Errorf("written is %q", got)
	}
}

// The error is that of the write.
func TestOutletTellsThatNobodyCanRead(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if _, err := io.WriteString(newOutlet(w), "a\n"); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Write = %v, want EPIPE", err)
	}
}

// Who writes waits once for somebody who does not read, and no more than a
// moment. What was written can be read later, but for what there was no room.
func TestOutletDoesNotWaitForAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := newOutlet(w)
		defer close(o.queue)
		began := time.Now()
		kept := 0
		for range 2 * cap(o.queue) {
			if _, err := io.WriteString(o, "x"); err == nil {
				kept++
			} else if err != errUnread {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != moment {
			t.Errorf("to write took %v", took)
		}
		if kept != cap(o.queue)+1 { // and the one that is being written
			t.Errorf("%d writes were kept", kept)
		}
		// There is no room for it to wait its turn.
		if err := o.flush(); err != errUnread {
			t.Errorf("flush = %v", err)
		}
		if took := time.Since(began); took != moment {
			t.Errorf("to write and flush took %v", took)
		}

		all := make(chan string)
		go func() {
			b, _ := io.ReadAll(r)
			all <- string(b)
		}()
		synctest.Wait()
		if o.late.Load() {
			t.Error("the next Write would not wait")
		}
		if err := o.flush(); err != nil {
			t.Errorf("flush = %v", err)
		}
		w.Close()
		if got := <-all; got != strings.Repeat("x", kept) {
			t.Errorf("read were %d bytes, want %d", len(got), kept)
		}
	})
}
