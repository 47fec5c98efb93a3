package serve

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
)

func listOf(t *testing.T, images ...given) []byte {
	t.Helper()
	text, err := json.Marshal(images)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// vouchedBySelf is what the guard of this process has.
func vouchedBySelf(images ...Image) *vouched {
	v := newVouched(images)
	v.server = os.Getpid
	return v
}

// A server that is confined must not lead its guard to files that it could not open.
func TestGuardBelievesItsServerOnlyImagesThatItHasOpen(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := func(path string, flags int) {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
	}
	argument, written, read, located, secret := file("argument"), file("written"), file("read"), file("located"), file("secret")
	neither, only := file("neither"), file("only")
	open(written, unix.O_RDWR)
	open(read, unix.O_RDONLY)
	open(located, unix.O_PATH) // any process can have that of any file
	open(neither, unix.O_ACCMODE)
	open(only, unix.O_WRONLY)
	t.Chdir(dir)
	relative := filepath.Base(written)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(written, link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		image Image
		want  bool
	}{
		{Image{Path: argument}, true},
		{Image{Path: argument, ReadOnly: true}, false}, // it is not what was typed, nor open
		{Image{Path: written}, true},
		{Image{Path: written, ReadOnly: true}, true},
		{Image{Path: link}, true},
		{Image{Path: read, ReadOnly: true}, true},
		{Image{Path: read}, false},
		{Image{Path: read, Overlay: written}, true},
		{Image{Path: read, Overlay: read}, false},
		{Image{Path: read, Overlay: secret}, false},
		{Image{Path: located, ReadOnly: true}, false},
		{Image{Path: neither, ReadOnly: true}, false},
		{Image{Path: neither}, false},
		{Image{Path: read, Overlay: neither}, false},
		{Image{Path: only}, false},
		{Image{Path: relative}, false},
		{Image{Path: read, Overlay: relative}, false},
		{Image{Path: "file://" + read, ReadOnly: true}, false},
		{Image{Path: secret, ReadOnly: true}, false},
		{Image{Path: filepath.Join(dir, "missing")}, false},
	} {
		v := vouchedBySelf(Image{Path: argument})
		err := v.accept(os.Getpid(), listOf(t, given{LUN: 1, Image: tt.image, Passing: true}))
		if (err == nil) != tt.want {
			t.Errorf("%+v: %v", tt.image, err)
		}
	}
	if err := new(vouched).accept(os.Getpid(), []byte("no list")); err == nil {
		t.Error("what is no list is believed")
	}
}

// The path may lead to another file when the guard opens it.
func TestGuardTakesNoOtherFileForAnImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	s, err := image.Open(t.Context(), path, image.Options{Create: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	of, v := given{LUN: 2, Image: Image{Path: path}}, vouchedBySelf()
	if err := v.accept(os.Getpid(), listOf(t, of)); err != nil {
		t.Fatal(err)
	}
	if err := v.check(of, &openedImage{path: path, base: s}); err != nil {
		t.Errorf("the file itself: %v", err)
	}
	other, err := image.Open(t.Context(), path+"2", image.Options{Create: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := v.check(of, &openedImage{path: path, base: other}); err == nil || !strings.HasSuffix(err.Error(), "is not the file that was served") {
		t.Errorf("another file: %v", err)
	}

	// What was removed counts no more, and what stays is not looked at again: its storage
	// may hang.
	s.Close()
	if err := v.accept(os.Getpid(), listOf(t, of)); err != nil {
		t.Errorf("an image that stays: %v", err)
	}
	if err := v.accept(os.Getpid(), nil); err == nil {
		t.Error("no list at all")
	}
	if err := v.accept(os.Getpid(), listOf(t)); err != nil {
		t.Error(err)
	}
	if err := v.accept(os.Getpid(), listOf(t, of)); err == nil {
		t.Error("an image that was removed is believed again")
	}
}

// A guard asks no other process than its server, and not one that has got its ID.
func TestOnlyTheServerOfAGuardVouches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	s, err := image.Open(t.Context(), path, image.Options{Create: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := parent(); got != os.Getppid() {
		t.Errorf("the parent is %d", got)
	}
	of, self := listOf(t, given{LUN: 1, Image: Image{Path: path}}), os.Getpid()
	for _, parents := range [][]int{{1, 1}, {1, self}, {self, 1}} {
		v, n := newVouched(nil), 0
		v.server = func() int { n++; return parents[n-1] }
		if err := v.accept(self, of); err == nil || !strings.Contains(err.Error(), "is not the server of this guard") {
			t.Errorf("parents %d: %v", parents, err)
		}
	}

	v := vouchedBySelf()
	if err := v.accept(self, of); err != nil {
		t.Fatal(err)
	}
	v.server = func() int { return 1 }
	if err := v.accept(self, of); err != nil {
		t.Errorf("a known image after the end of the server: %v", err)
	}
}

// Each look at storage that hangs keeps a thread.
func TestOneLookAtStorageThatHangsIsLeftBehind(t *testing.T) {
	v := vouchedBySelf()
	v.looking <- struct{}{}
	err := v.accept(os.Getpid(), listOf(t, given{Image: Image{Path: "/"}}))
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
}
