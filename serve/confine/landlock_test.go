package confine

import "testing"

// An older kernel gets none of the rights that it does not know.
func TestRightsOfEachABI(t *testing.T) {
	for abi, want := range map[int]uint64{1: 1<<13 - 1, 2: 1<<14 - 1, 3: 1<<15 - 1, 4: 1<<15 - 1, 5: 1<<16 - 1, 9: 1<<16 - 1} {
		if got := handled(abi); got != want {
			t.Errorf("ABI %d: %x, want %x", abi, got, want)
		}
	}
}
