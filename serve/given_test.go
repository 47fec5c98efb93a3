package serve

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/configfs"
	"github.com/lunserve/lunserve/serve/console"
)

// Initiators take two disks with one identity for two paths to one disk.
func TestPartsOfAnImageAreOtherDisks(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a.img"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	seen := map[string]Part{}
	for _, part := range []Part{{}, {Partition: 1}, {Partition: 2}, {Offset: 512}, {Offset: 512, Limit: 512}, {Limit: 512}} {
		id, err := (&Image{Path: path, Part: part}).identity()
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[id]; taken {
			t.Errorf("%+v and %+v are both %s", part, other, id)
		}
		seen[id] = part
		if byLink, err := (&Image{Path: link, Part: part}).identity(); part != (Part{}) && (err != nil || byLink != id) {
			t.Errorf("by a link it is %s, not %s: %v", byLink, id, err)
		}
	}
}

// An upgrade goes on with an image that has no name any more, and with its part.
func TestUpgradeNeedsNoPathOfAPart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(file.Fd()))
	if err == nil {
		err = errors.Join(file.Close(), os.Remove(path))
	}
	if err != nil {
		t.Fatal(err)
	}
	c := console.New(os.Stderr, "test")
	defer c.Close()
	c.SetQuiet(true)
	s := &service{role: upgrading, console: c, options: Options{SectorSize: 512},
		taken: &handOver{Disks: []*handedOverDisk{{Image: fd, Overlay: -1, Size: 1 << 20}}}}
	var down configfs.Undo
	img, err := s.openImage(t.Context(), Image{Path: path, Part: Part{Offset: 4096}}, &down)
	if err != nil {
		t.Fatal(err)
	}
	if got := img.size(); got != 1<<20-4096 {
		t.Errorf("the disk has %d bytes", got)
	}
	img.starting = false
	if err := down.Close(); err != nil {
		t.Error(err)
	}
}

// Only the same part of an image is adopted.
func TestContentsTellPartsApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var all []*openedImage
	for _, part := range []Part{{}, {Offset: 512}, {Offset: 512, Limit: 5120}} {
		base, err := image.Open(t.Context(), path, image.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer base.Close()
		i := &openedImage{path: path, abs: path, blockSize: 512, base: base, store: base}
		if err := i.findPart(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	for n, a := range all {
		for m, b := range all {
			if is := a.isOf(b.contents("")); is != (n == m) {
				t.Errorf("%q is of %d: %v, not %v", b.contents(""), n, is, n == m)
			}
		}
	}
	if got := all[2].size(); got != 5120 {
		t.Errorf("the disk has %d bytes", got)
	}
	if err := all[0].findPart(t.Context(), Part{Offset: 1 << 20}); err == nil {
		t.Error("a part past the end is served")
	}
}
