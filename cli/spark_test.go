package cli

import (
	"testing"

	"github.com/lunserve/lunserve/serve/control"
)

func TestSparkShowsTheLastIntervals(t *testing.T) {
	for locale, want := range map[string]string{"en_US.UTF-8": "█▁▂▄▁", "C": "#_.-_"} {
		t.Setenv("LC_ALL", locale)
		s := new(spark)
		if got := s.draw(sparkHeights()); got != "" {
			t.Errorf("%q before the first interval", got)
		}
		for _, rate := range []float64{1e9, 1, 1, 1, 1000, 0, 1, 430, 0} {
			s.add(rate)
		}
		if got := s.draw(sparkHeights()); len([]rune(got)) != 8 || got[len(got)-len(want):] != want {
			t.Errorf("%s: %q does not end in %q", locale, got, want)
		}
	}
}

// The column is for people: what other programs read stays as it is.
func TestStatsHasSparksOnATerminalOnly(t *testing.T) {
	d := &control.Disk{Name: "a", Rates: &control.Rates{Reads: 3, Writes: 4}}
	for sparks, want := range map[*sparkColumn]int{nil: 9, {heights: sparkHeights()}: 10} {
		if got := len(statsHead(sparks)); got != want {
			t.Errorf("%d columns, want %d", got, want)
		}
		if got := len(statsRow(d, sparks)); got != want {
			t.Errorf("%d columns in a row, want %d", got, want)
		}
	}
}
