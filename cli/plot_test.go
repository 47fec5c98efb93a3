package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTraceIsReadAsItWasWritten(t *testing.T) {
	const trace = `   0.447922    1349 µs  INQUIRY               allocation 36 standard        good
lunserve: warning: something
   0.671991    8230 µs  UNMAP                 lba 0+2, 8+4                  good
   0.684117    1756 µs  WRITE SAME(16)        lba 524160 blocks 128         good
   0.684118    1756 µs  WRITE SAME(16)        lba 64 blocks 8 unmap         good
   0.849966    2993 µs  LUN 3  WRITE(10)             lba 5 blocks 1 fua            good
   0.950000       1 µs  READ(10)              lba 7 blocks 2                medium error
   0.953680     330 µs  SYNCHRONIZE CACHE(10) all                           good
   0.960000       1 µs  READ CAPACITY(16)     allocation 32                 good
   0.970000       1 µs  READ(10)              lba 7 blocks 0                good
   0.980000       1 µs  READ(16)              lba 18446744073709551615 blocks 1 good
`
	want := []traced{
		{unmaps, 0, 0.671991, 0, 2}, {unmaps, 0, 0.671991, 8, 12},
		{writes, 0, 0.684117, 524160, 524288}, {unmaps, 0, 0.684118, 64, 72},
		{writes, 3, 0.849966, 5, 6}, {reads, 0, 0.95, 7, 9}, {flushed, 0, 0.95368, 0, 0},
	}
	got, more, err := readTrace(strings.NewReader(trace))
	if !slices.Equal(got, want) || more || err != nil {
		t.Errorf("%+v, %v, %v", got, more, err)
	}
	if found := luns(got); !slices.Equal(found, []int{0, 3}) {
		t.Errorf("LUNs %v", found)
	}
}

// A command is where it was, and each one shows.
func TestPlotShowsEachCommand(t *testing.T) {
	p := newPlot([]traced{{writes, 0, 0, 0, 1}, {writes, 0, 5, 1 << 62, 1<<62 + 1}, {reads, 0, 10, 1 << 61, 1 << 62}, {flushed, 0, 5, 0, 0}})
	for k, want := range map[kindOfTraced]string{
		writes:  "M0 319h1v1h-1zM500 0h1v1h-1z",
		reads:   "M999 0h1v160h-1z",
		flushed: "M500 0h1v320h-1z",
		unmaps:  "",
	} {
		if got := p.path(k); got != want {
			t.Errorf("%d: %q", k, got)
		}
	}
}

// Whatever a trace says, the page is small, and has nothing of the trace but numbers.
func FuzzPlot(f *testing.F) {
	f.Add("   0.671991    8230 µs  UNMAP                 lba 0+2, 8+4                  good\n")
	f.Add("   9.1    1 µs  LUN 9  READ(10)  lba 1 blocks 2\n   0.000001    1 µs  SYNCHRONIZE CACHE(10) all")
	f.Fuzz(func(t *testing.T, trace string) {
		all, _, err := readTrace(strings.NewReader(trace))
		if err != nil || len(all) == 0 {
			return
		}
		page := strings.Join(newPlot(all).lines(all[0].lun), "\n")
		if len(page) > 64<<20 {
			t.Errorf("%d bytes", len(page))
		}
		if tags := strings.Count(page, "<"); tags != 20 {
			t.Errorf("%d tags: %s", tags, page)
		}
	})
}

func BenchmarkPlot(b *testing.B) {
	var trace strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&trace, "%11.6f %7.0f µs  %-21s %-28s  good\n", float64(i)/1000, 120.0, "READ(10)", fmt.Sprintf("lba %d blocks 8", i*7919%1_000_000))
	}
	for b.Loop() {
		all, _, _ := readTrace(strings.NewReader(trace.String()))
		newPlot(all).lines(0)
	}
}
