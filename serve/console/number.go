package console

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// Count is a number in about three digits: 981, 12.3k, 1.2M.
func Count(n float64) string {
	value, unit := humanize.ComputeSI(n)
	if unit == "m" || unit == "" {
		return fmt.Sprintf("%.0f", n)
	}
	return strings.Replace(humanize.FtoaWithDigits(value, 1), ".0", "", 1) + unit
}

// Micros is a duration in microseconds, in about two digits: 120µs, 1.4ms.
func Micros(micros float64) string {
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

// Depth is an average number of commands.
func Depth(n float64) string {
	if n >= 9.95 || n < 0.05 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1f", n)
}
