package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// truncate(1) takes the same sizes for the same bytes.
func TestSizesAreThoseOfCoreutils(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for _, word := range strings.Fields("1 512 1K 1k 1KiB 1KB 3M 3MB 3MiB 10G 10GB 10GiB 2T 2TB 2TiB") {
		if out, err := exec.Command("truncate", "-s", word, name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := parseSize(word); !ok || n != fi.Size() {
			t.Errorf("%s: %d, %v; truncate makes a file of %d bytes", word, n, ok, fi.Size())
		}
	}
}

func TestSizesOutOfRangeAreRefused(t *testing.T) {
	for word, want := range map[string]int64{
		"9223372036854775807": 1<<63 - 1, "7E": 7 << 60, "7.5EiB": 15 << 59, "9EB": 9e18, "1.5G": 3 << 29, "0.001KB": 1, "100b": 100, "1.": 1, "1Ki": 1024, "10gi": 10 << 30, "2Ei": 2 << 60, "1 K": 1024, "10 GB": 10e9, "1  MiB": 1 << 20,
		"": 0, "0": 0, "0G": 0, "0.0001K": 0, "1.5": 0, "-1": 0, "+1": 0, ".": 0, "K": 0, "1KK": 0, "1IB": 0, "1 2": 0, "1K B": 0, "1,024": 0, "20GB20": 0, "K 1": 0, "1e3": 0, "0x10": 0, "1/2K": 0, "1_000": 0,
		"1.2.3K": 0, "8E": 0, "10EB": 0, "9223372036854775808": 0, "99999999999999999999E": 0, "10GiBs": 0, "1\xe9": 0, "٣": 0,
	} {
		if n, ok := parseSize(word); n != want || ok != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", word, n, ok, want)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, word := range []string{"10G", "1.5MiB", "9EB", "0", "18446744073709551616", "1e9", "00000000001B"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		n, ok := parseSize(word)
		if n < 0 || ok != (n > 0) {
			t.Fatalf("%q: %d, %v", word, n, ok)
		}
		if !ok {
			return
		}
		if again, _ := parseSize(fmt.Sprint(n)); again != n {
			t.Errorf("%q: %d bytes, which is read as %d", word, n, again)
		}
		// Each unit is 1000 or 1024 times the one before.
		for _, next := range []string{"KM", "MG", "GT"} {
			number, found := strings.CutSuffix(word, next[:1])
			if !found {
				continue
			}
			more, ok := parseSize(number + next[1:])
			if ok && more/1024 != n {
				t.Errorf("%q: %d bytes, but %d in the next unit", word, n, more)
			}
		}
	})
}
