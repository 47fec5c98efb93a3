package hint

import (
	"os"
	"strings"
	"testing"
)

func TestFreeNamesNoExistingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	long := strings.Repeat("x", 253)
	os.Mkdir("folder", 0o700)
	os.Symlink("nowhere", "link")
	for _, name := range []string{"disk.img", "NEW-disk.img", "folder/disk.img", "-", long} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"new.img":         "new.img",
		"disk.img":        "NEW-NEW-disk.img",
		"folder/disk.img": "folder/NEW-disk.img",
		"folder":          "NEW-folder",
		"link":            "NEW-link", // a shell would write to what it names
		"-":               "NEW--",
		"nowhere/a.img":   "nowhere/a.img",
		long:              "NEW-" + long, // no file can have it
	} {
		if got := Free(path); got != want {
			t.Errorf("Free(%q) = %q, want %q", path, got, want)
		}
	}
}
