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

func TestNearFilesAreNotOtherDisks(t *testing.T) {
	names := []string{"disk.img", "disk2.img", "vda.img", "backup-a.img.zst", "backup2024.img", "disks"}
	for name, want := range map[string][]string{
		"dsik.img":         {"disk.img"},
		"DISK.IMG":         {"disk.img"},
		"dikss":            {"disks"},
		"disk.imgg":        {"disk.img"},
		"bakcup-a.img.zst": {"backup-a.img.zst"},
		"bakup2024.img":    {"backup2024.img"},
		"disk3.img":        nil, // another number
		"disk1.img":        nil, // a number
		"dissk3.img":       nil,
		"bakcup2023.img":   nil,
		"vdb.img":          nil, // another letter
		"diska.img":        nil,
		"dis.img":          nil,
		"disk\u00e4.img":   nil,
		"backup-b.img.zst": nil,
		"diskt":            nil,
		"ax.img":           nil, // too short to tell, whatever the extension
	} {
		if got := NearFiles(name, names); !slices.Equal(got, want) {
			t.Errorf("NearFiles(%q) = %q, want %q", name, got, want)
		}
	}
}
