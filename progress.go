package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// A bar shows on the terminal how much of a long job is done. Where stderr is
// no terminal it shows nothing.
type bar struct {
	width  int // of the terminal; 0 if there is none
	start  time.Time
	last   time.Time
	what   string
	behind bool // something is shown
}

func newBar() *bar {
	return &bar{start: time.Now(), width: terminalWidth(os.Stderr)}
}

// progress returns a function that shows how much of a job is done.
func (b *bar) progress() func(done, total int64, what string) {
	return func(done, total int64, what string) { b.show(done, total, what, time.Now()) }
}

// show draws the bar, five times a second at most and not in the first half
// second.
func (b *bar) show(done, total int64, what string, now time.Time) {
	if what != b.what {
		b.what, b.start = what, now
	}
	if b.width == 0 || now.Sub(b.last) < time.Second/5 || now.Sub(b.start) < time.Second/2 {
		return
	}
	b.last, b.behind = now, true
	fmt.Fprintf(os.Stderr, "\r%s\x1b[K", b.line(done, total, now.Sub(b.start)))
}

// line is the bar, a column less wide than the terminal:
//
//	disk.img: packing [=======>             ]  38% of 4.0 GiB, 310 MiB/s, 8s left
func (b *bar) line(done, total int64, d time.Duration) string {
	done = min(done, total)
	rate := float64(done) / max(d.Seconds(), 0.001)
	left := "?"
	if rate >= 1 {
		left = time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second).String()
	}
	percent := 100 * float64(done) / float64(max(total, 1))
	tail := fmt.Sprintf(" %3.0f%% of %s, %s/s, %s left", percent, humanize.IBytes(uint64(total)), humanize.IBytes(uint64(rate)), left)
	least := 14 // of the width is the bar's
	if b.width < 60 {
		tail, least = fmt.Sprintf(" %3.0f%%, %s left", percent, left), 6
	}
	what := []rune(b.what)
	switch room := b.width - 1 - len(tail) - least; {
	case room < 2:
		what = nil
	case len(what) > room:
		// The end of a path is what tells it from others.
		what = append([]rune("…"), what[len(what)-room+1:]...)
	}
	head := string(what) + " "
	if n := b.width - 1 - len(tail) - len(what) - 1 - 2; n >= 3 {
		full := int(float64(n) * percent / 100)
		head += "[" + strings.Repeat("=", full)
		if full < n {
			head += ">" + strings.Repeat(" ", n-full-1)
		}
		head += "]"
	}
	line := []rune(strings.TrimLeft(head+tail, " "))
	return string(line[:min(len(line), b.width-1)])
}

// clear removes the bar before something else is said.
func (b *bar) clear() {
	if b.behind {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		b.behind = false
	}
}
