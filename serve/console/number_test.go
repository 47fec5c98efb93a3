package console

import "testing"

func TestNumbersAreShort(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.4: "0", 999: "999", 1000: "1k", 12345: "12.3k", 1234567: "1.2M"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%v) = %s, want %s", n, got, want)
		}
	}
	for micros, want := range map[float64]string{0: "0µs", 999: "999µs", 1432: "1.4ms", 45678: "46ms", 2.34e6: "2.3s"} {
		if got := Micros(micros); got != want {
			t.Errorf("Micros(%v) = %s, want %s", micros, got, want)
		}
	}
}
