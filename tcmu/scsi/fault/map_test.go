package fault

import (
	"strings"
	"testing"
)

// As ddrescue 1.27 writes it.
const mapfile = `# Mapfile. Created by GNU ddrescue version 1.27
# Command line: ddrescue -d /dev/sdb disk.img bad.map
# current_pos  current_status  current_pass
0x001F4200     ?               1
#      pos        size  status
0x00000000  0x001F4000  +
0x001F4000  0x00000200  -
0x001F4200  0x00000600  *
0x001F4800  0x00001000  /
0x001F5800  0x00000400  -
512000000   01000       -   # decimal and octal
0x40000000  0x00000000  -
`

func TestMapOfDDRescue(t *testing.T) {
	for size, want := range map[int]string{
		512:  "read lba 4000+1,4012+2,1000000+1: medium",
		4096: "read lba 500+2,125000+1: medium",
	} {
		if r, err := ReadMap(strings.NewReader(mapfile), size); err != nil || r.Text() != want {
			t.Errorf("blocks of %d: %q, %v, want %q", size, r.Text(), err, want)
		}
	}
}

func TestFilesThatAreNoMapsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "not a map of ddrescue",
		"# comment\n":                            "not a map of ddrescue",
		"hello\n":                                "line 1: not the state of a map of ddrescue",
		"0 ?\n":                                  "no bad areas",
		"0 ? 1\n0 512 +\n":                       "no bad areas",
		"0 ?\n0 512\n":                           "line 2: not an area of a map of ddrescue",
		"0 ?\n0 512 x\n":                         "line 2: not an area of a map of ddrescue",
		"0 ?\n0 -1 -\n":                          "line 2: not a position and a size",
		"0 ?\n0x7fffffffffffffff 1 -\n":          "line 2: not a position and a size",
		"0 ?\n" + strings.Repeat("x", 70000):     "bufio.Scanner: token too long",
		"0 ?\n" + strings.Repeat("5 5 -\n", 1e5): "line 65538: more than 65536 bad areas",
	} {
		if _, err := ReadMap(strings.NewReader(text), 512); err == nil || err.Error() != want {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadMap(f *testing.F) {
	f.Add(mapfile, 512)
	f.Add("0 ?\n0 1 -\n9223372036854775806 1 -", 4096)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size != 512 && size != 4096 {
			return
		}
		r, err := ReadMap(strings.NewReader(text), size)
		if err != nil {
			return
		}
		if again, err := Parse(r.Text()); err != nil || again.Text() != r.Text() {
			t.Errorf("%q: %q, then %q, %v", text, r.Text(), again.Text(), err)
		}
	})
}

// A disk whose lunserve does not answer has no block size.
func TestMapNeedsABlockSize(t *testing.T) {
	if _, err := ReadMap(strings.NewReader("0 ? 1\n0 512 -\n"), 0); err == nil {
		t.Error("it is read")
	}
}
