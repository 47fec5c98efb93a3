package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// $XDG_RUNTIME_DIR may be /tmp, where others can be first.
func TestFolderOfOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"own", func(p string) error { return os.Mkdir(p, 0o700) }, ""},
		{"open", func(p string) error { return os.Mkdir(p, 0o750) }, "others may enter it: mode 0750"},
		{"link", func(p string) error { return os.Symlink(dir, p) }, "not a folder"},
		{"file", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "not a folder"},
		{"other", func(p string) error {
			if err := os.Mkdir(p, 0o700); err != nil || os.Geteuid() != 0 {
				return err
			}
			return os.Chown(p, 1, 1)
		}, "belongs to another user"},
	} {
		path := filepath.Join(dir, tt.name)
		if err := tt.make(path); err != nil {
			t.Fatal(err)
		}
		err := checkDir(path)
		switch {
		case tt.name == "other" && os.Geteuid() != 0: // only root can give it away
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
