package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
)

// histogram returns the latencies of the commands of a disk as lines: a bar for each
// power of two, from the fastest to the slowest.
func histogram(d *control.Disk) (lines []string) {
	const width = 50
	most, all := uint64(1), uint64(0)
	var buckets []control.Latency
	if d.Rates != nil {
		buckets = d.Rates.Latencies
	}
	for _, b := range buckets {
		most, all = max(most, b.Commands), all+b.Commands
	}
	lines = append(lines, fmt.Sprintf("%s: %s commands", d.Name, humanize.Comma(int64(all))))
	for _, b := range buckets {
		bar := math.Ceil(float64(b.Commands) / float64(most) * width) // one that is not empty shows
		line := fmt.Sprintf("  < %7s %9s %s", console.Micros(b.Below), humanize.Comma(int64(b.Commands)), strings.Repeat("#", int(bar)))
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}
