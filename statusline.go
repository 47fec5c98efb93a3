package main

import (
	"fmt"
	"github.com/lunserve/lunserve/serve/control"
	"strings"

	"github.com/dustin/go-humanize"
)

// statusLine is what disks do just now, on one line of at most width columns:
//
//	/dev/sdb: read 12.3k/s 48 MiB/s, write 0/s 0 B/s, p50 120µs p99 1.4ms, depth 32
//
// What does not fit is left out from the end.
func statusLine(title string, r control.Rates, width int) string {
	parts := []string{
		fmt.Sprintf("read %s/s %s/s", count(r.Reads), humanize.IBytes(uint64(r.ReadBytes))),
		fmt.Sprintf("write %s/s %s/s", count(r.Writes), humanize.IBytes(uint64(r.WrittenBytes))),
	}
	if r.P99 > 0 {
		parts = append(parts, fmt.Sprintf("p50 %s p99 %s", duration(r.P50), duration(r.P99)))
	}
	parts = append(parts, "depth "+depth(r.Depth))
	if r.Hits != nil {
		parts = append(parts, fmt.Sprintf("cache %.0f%%", 100**r.Hits))
	}
	line := title + ": " + parts[0]
	for _, part := range parts[1:] {
		if longer := line + ", " + part; len([]rune(longer)) <= width {
			line = longer
		}
	}
	runes := []rune(line)
	return string(runes[:min(len(runes), max(0, width))])
}

// count is a number in three digits or so: 981, 12.3k, 1.2M.
func count(n float64) string {
	value, unit := humanize.ComputeSI(n)
	if unit == "m" || unit == "" {
		return fmt.Sprintf("%.0f", n)
	}
	return strings.Replace(humanize.FtoaWithDigits(value, 1), ".0", "", 1) + unit
}

// duration is so many microseconds, to two digits or so.
func duration(micros float64) string {
	switch {
	case micros >= 1e6:
		return fmt.Sprintf("%.1fs", micros/1e6)
	case micros >= 1e4:
		return fmt.Sprintf("%.0fms", micros/1e3)
	case micros >= 1e3:
		return fmt.Sprintf("%.1fms", micros/1e3)
	}
	return fmt.Sprintf("%.0fµs", micros)
}

// depth is a number of commands, on average.
func depth(n float64) string {
	if n >= 9.95 || n < 0.05 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1f", n)
}
