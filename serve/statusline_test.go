package serve

import (
	"testing"
	"unicode/utf8"

	"github.com/lunserve/lunserve/serve/control"
)

func TestStatusLineFitsTheTerminal(t *testing.T) {
	part := 0.98
	busy := control.Rates{Reads: 12345, ReadBytes: 48 << 20, Writes: 981, WrittenBytes: 1.5 * (1 << 20), Depth: 31.94, P50: 120, P99: 1432, Hits: &part}
	for _, tt := range []struct {
		width int
		r     control.Rates
		want  string
	}{
		{100, busy, "/dev/sdb: read 12.3k/s 48 MiB/s, write 981/s 1.5 MiB/s, p50 120µs p99 1.4ms, depth 32, cache 98%"},
		{79, busy, "/dev/sdb: read 12.3k/s 48 MiB/s, write 981/s 1.5 MiB/s, p50 120µs p99 1.4ms"},
		{40, busy, "/dev/sdb: read 12.3k/s 48 MiB/s"},
		{20, busy, "/dev/sdb: read 12.3k"},
		{0, busy, ""},
		{-1, busy, ""}, // of a terminal that has hung up
		{79, control.Rates{}, "/dev/sdb: read 0/s 0 B/s, write 0/s 0 B/s, depth 0"},
	} {
		got := statusLine("/dev/sdb", tt.r, tt.width)
		if got != tt.want {
			t.Errorf("%d columns:\n got %q\nwant %q", tt.width, got, tt.want)
		}
		if n := utf8.RuneCountInString(got); n > max(0, tt.width) {
			t.Errorf("%d columns hold %d", tt.width, n)
		}
	}
}
