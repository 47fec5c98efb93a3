package raw

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// namedOutput returns a file on a file system where it must have a name.
func namedOutput(t *testing.T, dir, text string) *tempOutput {
	t.Helper()
	name := hiddenName(dir)
	fd, err := openMode(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	d := &tempOutput{fd, name}
	t.Cleanup(func() {
		d.forget()
		unix.Close(fd)
	})
	if _, err := fdWriter(fd).WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	return d
}

// On any file system the output gets its name, replaces another file only if
// asked to, and leaves no other name behind.
func TestOutputIsPublishedWithoutRenameNoreplace(t *testing.T) {
	defer func() { renameat2, link = unix.Renameat2, unix.Link }()
	for name, errs := range map[string]struct{ rename, link unix.Errno }{
		"all":                    {},
		"NFS":                    {rename: unix.EINVAL},
		"an old kernel":          {rename: unix.ENOSYS},
		"sshfs":                  {unix.EINVAL, unix.EPERM},
		"FUSE without links":     {unix.EINVAL, unix.ENOSYS},
		"9p without links":       {unix.EINVAL, unix.EOPNOTSUPP},
		"a file with many links": {unix.EINVAL, unix.EMLINK},
	} {
		t.Run(name, func(t *testing.T) {
			renameat2, link = unix.Renameat2, unix.Link
			if errs.rename != 0 {
				renameat2 = func(int, string, int, string, uint) error { return errs.rename }
			}
			if errs.link != 0 {
				link = func(string, string) error { return errs.link }
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "disk.img")
			publish := func(text string, replace bool, fails error, holds string) {
				t.Helper()
				d := namedOutput(t, dir, text)
				want := ""
				if fails != nil {
					want = path + ": " + fails.Error()
				}
				got := ""
				if err := d.publish(path, replace); err != nil {
					got = err.Error()
				}
				if got != want {
					t.Errorf("publish %s: error %q, want %q", text, got, want)
				}
				d.forget()
				if p, err := os.ReadFile(path); string(p) != holds {
					t.Errorf("holds %q, want %q (%v)", p, holds, err)
				}
				if files, err := os.ReadDir(dir); len(files) != 1 {
					t.Errorf("in the folder: %v (%v)", files, err)
				}
			}
			publish("first", false, nil, "first")
			publish("second", false, unix.EEXIST, "first")
			publish("third", true, nil, "third")
		})
	}
}
