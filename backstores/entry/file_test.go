package entry

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// find returns the entry at path, which is closed at the end of the test.
func find(t *testing.T, path string) *Entry {
	t.Helper()
	e, err := At(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// named returns a file for e, as on a file system where it must have a name.
func named(t *testing.T, e *Entry, text string) *File {
	t.Helper()
	f := &File{entry: e}
	var err error
	if f.Fd, f.hidden, err = e.hide(0o666); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(f.Fd) })
	if _, err := unix.Write(f.Fd, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return f
}

// On any file system a file gets its name, replaces only the file that it is told
// to, and leaves no other name behind.
func TestFileIsPublishedWithoutRenameNoreplace(t *testing.T) {
	defer func() { renameat2, linkat = unix.Renameat2, unix.Linkat }()
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
			renameat2, linkat = unix.Renameat2, unix.Linkat
			if errs.rename != 0 {
				renameat2 = func(int, string, int, string, uint) error { return errs.rename }
			}
			if errs.link != 0 {
				linkat = func(int, string, int, string, int) error { return errs.link }
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "disk.img")
			e := find(t, path)
			publish := func(text string, old int, fails error, holds string) {
				t.Helper()
				f := named(t, e, text)
				want := ""
				if fails != nil {
					want = path + ": " + fails.Error()
				}
				got := ""
				if err := f.Publish(old); err != nil {
					got = err.Error()
				}
				if got != want {
					t.Errorf("publish %s: error %q, want %q", text, got, want)
				}
				f.Unname()
				if p, err := os.ReadFile(path); string(p) != holds {
					t.Errorf("holds %q, want %q (%v)", p, holds, err)
				}
				if files, err := os.ReadDir(dir); len(files) != 1 {
					t.Errorf("in the folder: %v (%v)", files, err)
				}
			}
			publish("first", -1, nil, "first")
			publish("second", -1, unix.EEXIST, "first")
			old, err := e.Open(unix.O_RDONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(old)
			publish("third", old, nil, "third")
			publish("fourth", old, ErrReplaced, "third")
			os.Remove(path)
			publish("fifth", old, nil, "fifth")
		})
	}
}

// What a killed process left does not stay for ever. What another one holds stays,
// as does what only looks like it.
func TestHiddenFilesOfKilledProcessesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	e := find(t, filepath.Join(dir, "disk.img"))
	held, left := named(t, e, "held"), named(t, e, "left")
	unix.Close(left.Fd) // as its process's end does
	left.Fd = -1
	kept := []string{held.hidden, ".lunserve-note", hiddenName(), hiddenName()}
	if err := os.WriteFile(filepath.Join(dir, kept[1]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, kept[2]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, kept[3])); err != nil {
		t.Fatal(err)
	}
	next := named(t, e, "next")
	for _, name := range append(kept, next.hidden) {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, left.hidden)); err == nil {
		t.Error("the file of a killed process is left")
	}
}
