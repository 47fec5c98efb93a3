package serve

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/serve/control"
)

// A file keeps its identity under any path, and while it is written. Another file
// has another one, even at the same path and with the inode of one that is gone.
func TestFileIDIsThatOfTheFile(t *testing.T) {
	for _, base := range []string{t.TempDir(), "/dev/shm"} {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Skip(err)
		}
		defer os.RemoveAll(dir)
		path, moved := filepath.Join(dir, "a.img"), filepath.Join(dir, "b.img")
		id := func(path string) string {
			t.Helper()
			id, err := pathID(path)
			if err != nil || id == "" {
				t.Fatalf("%q, %v", id, err)
			}
			return id
		}
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("1")
		first := id(path)
		write("22")
		if err := os.Rename(path, moved); err != nil {
			t.Fatal(err)
		}
		if now := id(moved); now != first {
			t.Errorf("%s: %s, moved %s", dir, first, now)
		}
		for range 20 { // the inode is likely to be used again
			if err := os.Remove(moved); err != nil {
				t.Fatal(err)
			}
			write("22")
			if now := id(path); now == first {
				t.Fatalf("%s: another file has the identity %s", dir, now)
			}
			if err := os.Rename(path, moved); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Only what survives the process can be adopted.
func TestTemporaryWritesAreNotAdopted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for writes, want := range map[control.Writes]bool{
		control.InPlace: true, control.Refused: true, control.Temporary: false,
	} {
		img := &openedImage{abs: path, blockSize: 512, writes: writes}
		text := img.contents(false)
		if !img.isOf(text) || keepsWrites(text) != want {
			t.Errorf("%s: keepsWrites(%q) = %v", writes, text, !want)
		}
		if other := img.contents(true); other == text {
			t.Errorf("a removable disk is %q too", other)
		}
	}
	if keepsWrites("") {
		t.Error("what cannot be identified is adopted")
	}
}
