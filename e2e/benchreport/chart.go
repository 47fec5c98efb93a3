package main

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
)

// The sizes of the chart, in pixels.
const (
	left  = 150 // of the names of jobs
	scale = 280 // of the speed of the baseline
	bar   = 14
)

// colours of the peers, by column. They are readable in light and dark.
var colours = []string{"#3b82f6", "#8b949e", "#d29922", "#2da44e", "#a371f7", "#db6d28"}

var relative = regexp.MustCompile(`\((\d+\.\d+)\)`)

// chart draws the speed of each peer relative to the baseline, which is 1, in groups of
// bars: one group for each job.
func (t table) chart() string {
	const style = `text{font:13px sans-serif;fill:#1f2328}line{stroke:#8b949e}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}`
	var b strings.Builder
	longest, y := 1.0, 30
	peers := t.rows[0][1:]
	for i, peer := range peers {
		x := left + 150*i
		fmt.Fprintf(&b, "<rect x=\"%d\" y=\"8\" width=\"10\" height=\"10\" fill=\"%s\"/><text x=\"%d\" y=\"18\">%s</text>\n",
			x, colours[i%len(colours)], x+16, html.EscapeString(peer))
	}
	for _, row := range t.rows[2:] {
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left-8, y+bar*len(peers)/2+5, html.EscapeString(row[0]))
		for i, cell := range row[1:] {
			m := relative.FindStringSubmatch(cell)
			if m == nil {
				continue
			}
			speed, _ := strconv.ParseFloat(m[1], 64)
			longest = max(longest, speed)
			w := speed * scale
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\" fill=\"%s\"/><text x=\"%.0f\" y=\"%d\">%s</text>\n",
				left, y+i*bar, w, bar-2, colours[i%len(colours)], left+w+4, y+i*bar+bar-2, m[1])
		}
		y += bar*len(peers) + 10
	}
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%[1]d\" height=\"%[2]d\" role=\"img\">\n<title>Speed by instructions, relative to LIO fileio</title>\n"+
		"<style>%[3]s</style>\n%[4]s<line x1=\"%[5]d\" x2=\"%[5]d\" y1=\"26\" y2=\"%[6]d\"/>\n</svg>\n",
		left+int(longest*scale)+50, y+4, style, b.String(), left+scale, y)
}
