package console

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestWriteReturnsWhenTheTextIsWritten(t *testing.T) {
	var to strings.Builder
	o := NewWriter(&to)
	defer o.Close()
	for _, text := range []string{"a\n", "", "b\n"} {
		if n, err := o.write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("Write(%q) = %d, %v", text, n, err)
		}
	}
	if got := to.String(); got != "a\nb\n" {
		t.Errorf("written is %q", got)
	}
}

func TestWriteReturnsTheErrorOfTheWrite(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	o := NewWriter(w)
	defer o.Close()
	if _, err := o.write([]byte("a\n")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Write = %v, want EPIPE", err)
	}
}

// A reader that has stopped is waited for once. What fits into the queue can be
// read later.
func TestWriterWaitsOnceForAStoppedReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := NewWriter(w)
		began := time.Now()
		kept := 0
		for range 2 * cap(o.queue) {
			if _, err := o.write([]byte("x")); err == nil {
				kept++
			} else if err != errNotRead {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != writeTimeout {
			t.Errorf("the writes took %v", took)
		}
		if kept != cap(o.queue)+1 { // and the one that is being written
			t.Errorf("%d writes were kept", kept)
		}
		// A full queue has no room for a flush.
		if err := o.Flush(); err != errNotRead {
			t.Errorf("Flush = %v", err)
		}
		if took := time.Since(began); took != writeTimeout {
			t.Errorf("the writes and the flush took %v", took)
		}

		all := make(chan string)
		go func() {
			b, _ := io.ReadAll(r)
			all <- string(b)
		}()
		synctest.Wait()
		if o.Stalled() {
			t.Error("the next Write would not wait")
		}
		if err := o.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		w.Close()
		if got := <-all; got != strings.Repeat("x", kept) {
			t.Errorf("%d bytes were read, want %d", len(got), kept)
		}
	})
}

// A goroutine that waited for storage may print when all else has ended.
func TestWritesDuringAndAfterCloseDoNotPanic(t *testing.T) {
	o := NewWriter(io.Discard)
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for range 1000 {
				if _, err := o.write([]byte("x")); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	writing.Wait()
	if _, err := o.write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close = %v, want ErrClosed", err)
	}
	if err := o.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}
