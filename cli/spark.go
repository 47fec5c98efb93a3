package cli

import (
	"cmp"
	"os"
	"strings"

	"github.com/lunserve/lunserve/serve/console"
)

// A spark is a line of small bars: how many commands a second a disk executed in the
// last intervals, the newest at the right, as a share of the most of them.
type spark struct {
	rates [8]float64
	n     int // how many there are
}

func (s *spark) add(rate float64) {
	copy(s.rates[:], s.rates[1:])
	s.rates[len(s.rates)-1] = rate
	s.n = min(s.n+1, len(s.rates))
}

// draw draws with these heights, from the lowest: an idle interval has the first, any
// other a higher one.
func (s *spark) draw(heights []rune) string {
	most := 0.0
	for _, r := range s.rates {
		most = max(most, r)
	}
	var line strings.Builder
	for _, r := range s.rates[len(s.rates)-s.n:] {
		height := 0
		if r > 0 {
			height = max(1, int(r/most*float64(len(heights)-1)))
		}
		line.WriteRune(heights[height])
	}
	return line.String()
}

// A sparkColumn is the sparks of disks, by their names.
type sparkColumn struct {
	heights []rune
	of      map[string]*spark
}

// newSparkColumn returns the column, or nil if standard output is not a terminal.
func newSparkColumn() *sparkColumn {
	if console.Columns(os.Stdout) == 0 {
		return nil
	}
	return &sparkColumn{heights: sparkHeights()}
}

// next adds an interval of a disk, and draws its spark.
func (c *sparkColumn) next(disk string, rate float64) string {
	if c.of == nil {
		c.of = make(map[string]*spark)
	}
	if c.of[disk] == nil {
		c.of[disk] = new(spark)
	}
	c.of[disk].add(rate)
	return c.of[disk].draw(c.heights)
}

// sparkHeights returns the characters that the locale has.
func sparkHeights() []rune {
	locale := strings.ToUpper(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	if strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8") {
		return []rune("▁▂▃▄▅▆▇█")
	}
	return []rune("_.:-=+*#")
}
