package serve

import (
	"slices"
	"testing"
	"time"

	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu"
)

func TestLatenciesArePowersOfTwo(t *testing.T) {
	var m tcmu.Meter
	if got := latencies(m.Read()); len(got) > 0 {
		t.Errorf("without commands: %v", got)
	}
	for _, took := range []time.Duration{1024, 2047, 2048, 9000} {
		m.Add(took)
	}
	want := []control.Latency{{Below: 2.048, Commands: 2}, {Below: 4.096, Commands: 1}, {Below: 8.192}, {Below: 16.384, Commands: 1}}
	if got := latencies(m.Read()); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	m.Add(time.Hour) // longer than all
	if got := latencies(m.Read()); got[len(got)-1].Commands != 1 {
		t.Errorf("%v", got)
	}
}
