package console

import (
	"testing"
	"time"
	"unicode/utf8"
)

// A narrow terminal shows the percentage and the time left.
func TestBarFitsTheTerminal(t *testing.T) {
	for _, tt := range []struct {
		width      int
		what, want string
	}{
		{80, "disk.img: packing", "disk.img: packing [=======>              ]  33% of 3.0 GiB, 102 MiB/s, 20s left"},
		{80, "/srv/images/a long name of a disk.img: packing", "…name of a disk.img: packing [===>       ]  33% of 3.0 GiB, 102 MiB/s, 20s left"},
		{40, "disk.img: packing", "disk.img: packing [=>  ]  33%, 20s left"},
		{40, "/srv/images/disk.img: packing", "…disk.img: packing [=> ]  33%, 20s left"},
		{20, "disk.img: packing", "33%, 20s left"},
		{5, "disk.img: packing", "33%,"},
	} {
		b := Bar{what: tt.what}
		got := b.line(1<<30, 3<<30, 10*time.Second, tt.width-1)
		if got != tt.want || utf8.RuneCountInString(got) >= tt.width {
			t.Errorf("%d columns: %q, want %q", tt.width, got, tt.want)
		}
	}
}
