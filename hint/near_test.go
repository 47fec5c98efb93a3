package hint

import (
	"slices"
	"testing"
)

func TestNearWordsAreMisspellings(t *testing.T) {
	names := []string{"disk.img", "disc.img", "Disk.IMG", "list", "a", "detach"}
	for word, want := range map[string][]string{
		"dsik.img": {"disk.img", "Disk.IMG", "disc.img"}, // the nearest first
		"disk.img": {"Disk.IMG", "disc.img"},             // not the word itself
		"disl.img": {"disk.img", "disc.img", "Disk.IMG"},
		"lst":      {"list"},
		"ls":       nil, // too short to tell
		"b":        nil,
		"attach":   {"detach"},
		"":         nil,
	} {
		if got := Near(word, names); !slices.Equal(got, want) {
			t.Errorf("Near(%q) = %q, want %q", word, got, want)
		}
	}
}
