package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/hint"
)

// A Bar shows on a terminal how much of a long job is done, in the console's
// status line. It belongs to one goroutine.
type Bar struct {
	console *Console
	start   time.Time // of the present job
	last    time.Time // when it was last drawn
	what    string
}

// NewBar returns a bar that shows nothing yet.
func (c *Console) NewBar() *Bar { return &Bar{console: c, start: time.Now()} }

// Show draws the bar, at most five times a second and not in the first half
// second of a job. done and total are bytes; what names the image and the job.
func (b *Bar) Show(done, total int64, what string) {
	now := time.Now()
	if what != b.what {
		b.what, b.start = what, now
	}
	if now.Sub(b.last) < time.Second/5 || now.Sub(b.start) < time.Second/2 {
		return
	}
	b.last = now
	if width := b.console.StatusWidth(); width > 0 {
		b.console.SetStatus(b.line(done, total, now.Sub(b.start), width))
	}
}

// Clear removes the bar.
func (b *Bar) Clear() { b.console.SetStatus("") }

// line is the bar in at most width columns:
//
//	disk.img: packing [=======>             ]  38% of 4.0 GiB, 310 MiB/s, 8s left
func (b *Bar) line(done, total int64, d time.Duration, width int) string {
	done = min(done, total)
	rate := float64(done) / max(d.Seconds(), 0.001)
	left := "?"
	if rate >= 1 {
		left = time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second).String()
	}
	percent := 100 * float64(done) / float64(max(total, 1))
	tail := fmt.Sprintf(" %3.0f%% of %s, %s/s, %s left", percent, humanize.IBytes(uint64(total)), humanize.IBytes(uint64(rate)), left)
	least := 14 // columns of the bar itself
	if width < 60 {
		tail, least = fmt.Sprintf(" %3.0f%%, %s left", percent, left), 6
	}
	what := []rune(hint.Visible(b.what)) // its width counts
	switch room := width - len(tail) - least; {
	case room < 2:
		what = nil
	case len(what) > room:
		// Paths differ at their ends.
		what = append([]rune("…"), what[len(what)-room+1:]...)
	}
	head := string(what) + " "
	if n := width - len(tail) - len(what) - 1 - 2; n >= 3 {
		full := int(float64(n) * percent / 100)
		head += "[" + strings.Repeat("=", full)
		if full < n {
			head += ">" + strings.Repeat(" ", n-full-1)
		}
		head += "]"
	}
	line := []rune(strings.TrimLeft(head+tail, " "))
	return string(line[:min(len(line), width)])
}
