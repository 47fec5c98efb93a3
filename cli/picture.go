package cli

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/dustin/go-humanize"
)

// The cells of a plot: time goes to the right, and blocks go up.
const (
	plotColumns = 1000
	plotRows    = 320 // a multiple of 64
)

// A plot shows where a disk was read, written and unmapped, and when it was flushed.
// Its size does not depend on the number of commands.
type plot struct {
	seconds float64
	blocks  uint64
	counts  [kindsOfTraced]int
	cells   [kindsOfTraced][plotColumns][plotRows / 64]uint64
}

// newPlot returns the plot of the commands of one disk.
func newPlot(all []traced) *plot {
	p := &plot{seconds: 1e-6, blocks: 1}
	for _, c := range all {
		p.seconds, p.blocks = max(p.seconds, c.at), max(p.blocks, c.limit)
	}
	row := func(block uint64) int { return int(float64(block) / float64(p.blocks) * plotRows) }
	for _, c := range all {
		p.counts[c.kind]++
		column := &p.cells[c.kind][min(int(c.at/p.seconds*plotColumns), plotColumns-1)]
		first, limit := 0, plotRows // a flush is for all
		if c.kind != flushed {
			first = min(row(c.first), plotRows-1)
			limit = min(max(row(c.limit), first+1), plotRows)
		}
		for r := first; r < limit; r++ {
			column[r/64] |= 1 << (r % 64)
		}
	}
	return p
}

// path returns the cells of a kind as a path of SVG: a rectangle for each run of a
// column.
func (p *plot) path(k kindOfTraced) string {
	var b strings.Builder
	for x := range p.cells[k] {
		column := &p.cells[k][x]
		for r := 0; r < plotRows; {
			if word := column[r/64] >> (r % 64); word == 0 {
				r = (r/64 + 1) * 64
				continue
			} else {
				r += bits.TrailingZeros64(word)
			}
			first := r
			for r < plotRows && column[r/64]&(1<<(r%64)) != 0 {
				r++
			}
			fmt.Fprintf(&b, "M%d %dh1v%dh-1z", x, plotRows-r, r-first)
		}
	}
	return b.String()
}

// lines returns the plot as HTML.
func (p *plot) lines(lun int) []string {
	legend := fmt.Sprintf("<h2>LUN %d</h2><p>", lun)
	picture := fmt.Sprintf(`<svg viewBox="0 0 %d %d" preserveAspectRatio="none" height="%d">`, plotColumns, plotRows, plotRows)
	for _, k := range []struct {
		kind         kindOfTraced
		name, colour string
	}{{flushed, "flushes", "#c8c8c8"}, {reads, "reads", "#1f77b4"}, {unmaps, "unmaps", "#2ca02c"}, {writes, "writes", "#d62728"}} {
		legend += fmt.Sprintf(`<b style="background:%s"></b>%s: %s`, k.colour, k.name, humanize.Comma(int64(p.counts[k.kind])))
		picture += fmt.Sprintf(`<path fill="%s" d="%s"/>`, k.colour, p.path(k.kind))
	}
	return []string{legend + "</p>", picture + "</svg>",
		fmt.Sprintf("<p>%.6f seconds to the right; blocks 0 to %s from bottom to top.</p>", p.seconds, humanize.Comma(int64(p.blocks-1)))}
}
