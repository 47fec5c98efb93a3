package entry

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// write makes a file with a text.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantText checks what the file at path holds; "" means that there is none.
func wantText(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if string(got) != want || (err == nil) != (want != "") {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

// open opens the file of e for the time of the test.
func open(t *testing.T, e *Entry) int {
	t.Helper()
	fd, err := e.Open(unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// Whatever has taken the name of the open file meanwhile, that is kept, and so is
// what it points to.
func TestRemoveKeepsWhatHasTakenTheName(t *testing.T) {
	for what, swap := range map[string]func(path, other string) error{
		"a file":          func(path, other string) error { return os.Rename(other, path) },
		"a hard link":     func(path, other string) error { return errors.Join(os.Remove(path), os.Link(other, path)) },
		"a symbolic link": func(path, other string) error { return errors.Join(os.Remove(path), os.Symlink(other, path)) },
		"a folder":        func(path, other string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
	} {
		t.Run(what, func(t *testing.T) {
			path, other := filepath.Join(t.TempDir(), "mine"), filepath.Join(t.TempDir(), "important")
			write(t, path, "mine")
			write(t, other, "important")
			e := find(t, path)
			fd := open(t, e)
			if err := swap(path, other); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Remove(fd); !errors.Is(err, ErrReplaced) {
				t.Errorf("Remove = %v, want %v", err, ErrReplaced)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("what has the name was removed: %v", err)
			}
			if what == "a symbolic link" || what == "a hard link" {
				wantText(t, other, "important")
			}
		})
	}
}

func TestRemoveRemovesTheOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine")
	write(t, path, "mine")
	e := find(t, path)
	fd := open(t, e)
	for range 2 { // nothing has the name the second time
		if err := e.Remove(fd); err != nil {
			t.Fatal(err)
		}
		wantText(t, path, "")
	}
}

// A folder that is put in the place of the first one is not touched.
func TestNamesStayInTheirFolder(t *testing.T) {
	top := t.TempDir()
	dir, aside, victim := filepath.Join(top, "dir"), filepath.Join(top, "aside"), filepath.Join(top, "victim")
	for _, d := range []string{dir, victim} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/old", "old")
	old := find(t, dir+"/old")
	fd := open(t, old)
	f, err := find(t, dir+"/new").New(0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(f.Fd)

	if err := errors.Join(os.Rename(dir, aside), os.Symlink(victim, dir), os.Link(aside+"/old", victim+"/old")); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(f.Fd, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Publish(-1), old.Remove(fd)); err != nil {
		t.Fatal(err)
	}
	wantText(t, aside+"/new", "new")
	wantText(t, aside+"/old", "")
	wantText(t, victim+"/old", "old")
	wantText(t, victim+"/new", "")
}

func TestLinkIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "text")
	if err := os.Symlink(dir+"/file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if fd, err := find(t, dir+"/link").Open(unix.O_RDONLY, 0); err != unix.ELOOP {
		t.Errorf("Open = %d, %v; want %v", fd, err, unix.ELOOP)
	}
}

func TestFolderIsNoName(t *testing.T) {
	for _, path := range []string{"", "/", ".", "..", "dir/", "dir/.", "dir/.."} {
		if e, err := At(path); err == nil {
			e.Close()
			t.Errorf("At(%q) succeeds", path)
		}
	}
}

// A chain of links is followed to its end, and a loop is an error.
func TestChainRemovesFileAndFirstLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/sub/file", "text")
	if err := errors.Join(os.Symlink("sub/second", dir+"/first"), os.Symlink("../sub/file", dir+"/sub/second"), os.Symlink("loop", dir+"/loop")); err != nil {
		t.Fatal(err)
	}
	if _, err := Follow(dir + "/loop"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Follow a loop: %v", err)
	}
	c, err := Follow(dir + "/first")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Remove(open(t, find(t, dir+"/sub/file"))); err != nil {
		t.Fatal(err)
	}
	for name, left := range map[string]bool{"/first": false, "/sub/second": true, "/sub/file": false} {
		if _, err := os.Lstat(dir + name); (err == nil) != left {
			t.Errorf("%s: %v", name, err)
		}
	}
}
