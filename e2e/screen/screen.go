// Package screen draws what is on a terminal as SVG, in rows of text that can be
// read back.
package screen

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
)

// A cell is this large. Fonts differ, so each row is stretched to the width that its
// columns take.
const (
	width  = 8
	height = 18
	margin = 12
)

// style is readable in light and dark. The colours are those of SGR 31 to 36.
const style = `
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1f2328;white-space:pre}
rect{fill:#f6f8fa;stroke:#d0d7de}
line{stroke:#d0d7de}
.b{font-weight:bold}.c1{fill:#b3242f}.c2{fill:#116329}.c3{fill:#7d4e00}.c4{fill:#0550ae}.c5{fill:#6639ba}.c6{fill:#1b7c83}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#0d1117;stroke:#3d444d}line{stroke:#3d444d}
.c1{fill:#ff7b72}.c2{fill:#56d364}.c3{fill:#e3b341}.c4{fill:#79c0ff}.c5{fill:#d2a8ff}.c6{fill:#56d4dd}}
`

// SVG draws terminals of this many columns below each other. Each is the text that is
// on it, with escapes for bold and colours, as tmux capture-pane -e prints it. The
// title is what people hear who do not see the picture.
func SVG(title string, columns int, terminals ...string) string {
	var b strings.Builder
	y := margin
	for i, text := range terminals {
		if i > 0 {
			fmt.Fprintf(&b, "<line x1=\"0\" x2=\"%d\" y1=\"%d\" y2=\"%[2]d\"/>\n", columns*width+2*margin, y+height/2)
			y += height
		}
		for row := range strings.Lines(strings.TrimRight(text, "\n ") + "\n") {
			y += height
			b.WriteString(drawn(strings.TrimRight(row, "\n "), y-height/4))
		}
	}
	w, h := columns*width+2*margin, y+margin
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %[1]d %[2]d\" role=\"img\">\n"+
		"<title>%s</title>\n<style>%s</style>\n<rect x=\".5\" y=\".5\" width=\"%d\" height=\"%d\" rx=\"6\"/>\n%s</svg>\n",
		w, h, html.EscapeString(title), style, w-1, h-1, b.String())
}

var sgr = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// drawn is a row as an element: a span for each run of one colour.
func drawn(row string, y int) string {
	var b strings.Builder
	columns, class := 0, ""
	add := func(text string) {
		columns += len([]rune(text))
		if text = html.EscapeString(text); text != "" && class != "" {
			text = "<tspan class=\"" + strings.TrimSpace(class) + "\">" + text + "</tspan>"
		}
		b.WriteString(text)
	}
	at := 0
	for _, m := range sgr.FindAllStringSubmatchIndex(row, -1) {
		add(row[at:m[0]])
		for code := range strings.SplitSeq(row[m[2]:m[3]], ";") {
			switch n, _ := strconv.Atoi(code); {
			case n == 1:
				class += " b"
			case n > 30 && n < 37:
				class += fmt.Sprint(" c", n-30)
			case n == 0 || n == 39:
				class = ""
			}
		}
		at = m[1]
	}
	add(row[at:])
	if columns == 0 {
		return ""
	}
	return fmt.Sprintf("<text x=\"%d\" y=\"%d\" textLength=\"%d\" xml:space=\"preserve\">%s</text>\n", margin, y, columns*width, b.String())
}

var (
	element = regexp.MustCompile(`<text[^>]*>(.*)</text>`)
	tag     = regexp.MustCompile(`<[^>]*>`)
)

// Text returns the rows that a picture of [SVG] shows and are not empty.
func Text(svg string) (rows []string) {
	for _, m := range element.FindAllStringSubmatch(svg, -1) {
		rows = append(rows, html.UnescapeString(tag.ReplaceAllString(m[1], "")))
	}
	return rows
}
