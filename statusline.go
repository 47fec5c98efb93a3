package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// statusLine is what disks do just now, on one line of at most width columns:
//
//	/dev/sdb: read 12.3k/s 48 MiB/s, write 0/s 0 B/s, depth 31.9, p50 120 µs, p99 1.4 ms
//
// What does not fit is left out from the end.
func statusLine(title string, r rates, width int) string {
	parts := []string{
		fmt.Sprintf("read %s/s %s/s", count(r.Reads), humanize.IBytes(uint64(r.ReadBytes))),
		fmt.Sprintf("write %s/s %s/s", count(r.Writes), humanize.IBytes(uint64(r.WrittenBytes))),
		fmt.Sprintf("depth %.1f", r.Depth),
	}
	if r.P99 > 0 {
		parts = append(parts, "p50 "+duration(r.P50), "p99 "+duration(r.P99))
	}
	if r.Hits != nil {
		parts = append(parts, fmt.Sprintf("cache %.0f %%", 100**r.Hits))
	}
	line := title + ": " + parts[0]
	for _, part := range parts[1:] {
		if longer := line + ", " + part; len([]rune(longer)) <= width {
			line = longer
		}
	}
	runes := []rune(line)
	return string(runes[:min(len(runes), width)])
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
		return fmt.Sprintf("%.1f s", micros/1e6)
	case micros >= 1e4:
		return fmt.Sprintf("%.0f ms", micros/1e3)
	case micros >= 1e3:
		return fmt.Sprintf("%.1f ms", micros/1e3)
	}
	return fmt.Sprintf("%.0f µs", micros)
}
