package cli

import "testing"

func TestTextIsWrappedAtBlanks(t *testing.T) {
	const text = "is not loaded, and cannot be; try modprobe tcm_loop"
	for columns, want := range map[int]string{
		0:  text,
		80: text,
		30: "is not loaded, and\n    cannot be; try modprobe\n    tcm_loop",
		20: text, // too narrow to wrap
	} {
		if got := wrap(text, columns, 10, 4); got != want {
			t.Errorf("%d columns:\n got %q\nwant %q", columns, got, want)
		}
	}
}
