package screen

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestTextOfAPictureIsThatOfTheTerminal(t *testing.T) {
	svg := SVG("a <title>", 80, "\x1b[1;32m# \x1b[0mcat a&b <c>\n\n  two  blanks\n\n\n", "\x1b[31mred\x1b[39m plain")
	if got, want := Text(svg), []string{"# cat a&b <c>", "  two  blanks", "red plain"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, part := range []string{`<tspan class="b c2"># </tspan>cat`, `<tspan class="c1">red</tspan> plain`, `textLength="104"`} {
		if !strings.Contains(svg, part) {
			t.Errorf("no %s in\n%s", part, svg)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
