package serve

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/hint"
	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

// statusLine shows the rates of disks on one line of at most width columns:
//
//	/dev/sdb: read 12.3k/s 48 MiB/s, write 0/s 0 B/s, p50 120µs p99 1.4ms, depth 32
//
// It leaves out parts that do not fit, from the end.
func statusLine(title string, r control.Rates, width int) string {
	parts := []string{
		fmt.Sprintf("read %s/s %s/s", console.Count(r.Reads), humanize.IBytes(uint64(r.ReadBytes))),
		fmt.Sprintf("write %s/s %s/s", console.Count(r.Writes), humanize.IBytes(uint64(r.WrittenBytes))),
	}
	if r.P99 > 0 {
		parts = append(parts, fmt.Sprintf("p50 %s p99 %s", console.Micros(r.P50), console.Micros(r.P99)))
	}
	parts = append(parts, "depth "+console.Depth(r.Depth))
	if r.Hits != nil {
		parts = append(parts, fmt.Sprintf("cache %.0f%%", 100**r.Hits))
	}
	line := hint.Visible(title) + ": " + parts[0] // its width counts
	for _, part := range parts[1:] {
		if longer := line + ", " + part; len([]rune(longer)) <= width {
			line = longer
		}
	}
	runes := []rune(line)
	return string(runes[:min(len(runes), max(0, width))])
}
