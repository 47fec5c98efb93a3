package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/serve/control"
)

func TestHistogramShowsEachPowerOfTwo(t *testing.T) {
	d := control.Disk{Name: "a.img-1", Rates: &control.Rates{Latencies: []control.Latency{{Below: 2.048, Commands: 1}, {Below: 4.096}, {Below: 8192, Commands: 12345}}}}
	want := []string{
		"a.img-1: 12,346 commands",
		"  <     2µs         1 #",
		"  <     4µs         0",
		"  <   8.2ms    12,345 " + strings.Repeat("#", 50),
	}
	if got := histogram(&d); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, line := range histogram(&d) {
		if len([]rune(line)) > 80 {
			t.Errorf("%q is wider than a terminal", line)
		}
	}
	// Whatever a server answers.
	for _, rates := range []*control.Rates{nil, {}, {Latencies: []control.Latency{{}, {Commands: 1<<64 - 1}}}} {
		histogram(&control.Disk{Rates: rates})
	}
}
