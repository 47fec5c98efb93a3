package image_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// QEMU cannot read the base of this overlay. The command that keeps what the
// overlay holds has lunserve serve the base, and does not use the path of the
// base in the header.
func TestChangedOverlayOfAZstdImageIsKept(t *testing.T) {
	dir := storetest.MemDir(t)
	disk := storetest.NewImage(t, dir, 2<<20)
	base, path := filepath.Join(dir, "it's, $base.zst"), filepath.Join(dir, "it's, $overlay")
	storetest.Command(t, "zstd", "-q", disk, "-o", base)
	s := openOverlay(t, path, base)
	want := storetest.ReadFile(t, disk)
	copy(want[4096:], strings.Repeat("x", 8192))
	if err := backstores.WriteVec(s, [][]byte{want[4096:12288]}, 4096, backstores.Durable); err != nil {
		t.Fatal(err)
	}
	s.Close()
	storetest.Command(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", path)
	storetest.Command(t, "qemu-img", "snapshot", "-c", "one", path)

	b := open(t, base, reading)
	defer b.Close()
	_, _, err := image.OpenOverlay(ctx, path, b, base, false)
	_, try := hint.Split(err)
	if len(try) != 1 || strings.Join(try[0].Words[:3], " ") != "lunserve -r --run" || try[0].Words[4] != base {
		t.Fatalf("%v: %q", err, try)
	}
	t.Setenv("dev", disk)
	storetest.Command(t, "sh", "-c", try[0].Words[3])
	if string(storetest.ReadFile(t, filepath.Join(dir, "it's, $overlay.img"))) != string(want) {
		t.Error("the copy holds something else")
	}

	// Typed again, it replaces nothing. commit does not know the base.
	_, _, err = image.OpenOverlay(ctx, path, b, base, false)
	if _, try := hint.Split(err); !strings.Contains(try[0].Words[3], "NEW-it") {
		t.Errorf("%q", try)
	}
	var m image.Merge
	storetest.WantError(t, m.Commit(ctx, path), path, "PATH: was changed by another program, or is damaged: it has snapshots"+
		"; try qemu-img convert -O raw --image-opts 'driver=qcow2,file.filename="+strings.ReplaceAll(strings.ReplaceAll(path, ",", ",,"), "'", `'\''`)+
		",backing.driver=raw,backing.file.filename=BASE' '"+strings.ReplaceAll(filepath.Join(dir, "NEW-it's, $overlay.img"), "'", `'\''`)+"' to keep what it holds")
}

// QEMU would take the relative path for an address.
func TestChangedOverlayWithColonIsKept(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	base := filepath.Base(storetest.NewImage(t, dir, 1<<20))
	s, _, err := image.OpenOverlay(ctx, "nbd:x", open(t, base, reading), base, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Command(t, "qemu-img", "snapshot", "-c", "one", "./nbd:x")
	b := open(t, base, reading)
	defer b.Close()
	_, _, err = image.OpenOverlay(ctx, "nbd:x", b, base, false)
	_, try := hint.Split(err)
	if len(try) != 1 {
		t.Fatal(err)
	}
	storetest.Command(t, try[0].Words[0], try[0].Words[1:]...)
	if got, want := storetest.ReadFile(t, try[0].Words[len(try[0].Words)-1]), storetest.ReadFile(t, base); string(got) != string(want) {
		t.Error("the copy holds something else")
	}
}

// A base that was restored without its time is refused, and the command copies what
// it and the overlay hold to a new image. commit proposes it as well, with the path
// of the base if that was typed.
func TestOverlayOfABaseWithoutItsTimeIsKept(t *testing.T) {
	for name, pack := range map[string]bool{"raw": false, "zstd": true} {
		t.Run(name, func(t *testing.T) {
			dir := storetest.MemDir(t)
			disk := storetest.NewImage(t, dir, 2<<20)
			base, path := disk, filepath.Join(dir, "overlay")
			if pack {
				base = filepath.Join(dir, "base.zst")
				storetest.Command(t, "zstd", "-q", disk, "-o", base)
			}
			s := openOverlay(t, path, base)
			want := storetest.ReadFile(t, disk)
			copy(want[4096:], strings.Repeat("x", 8192))
			copy(want[1<<20:], strings.Repeat("y", 4096))
			if err := backstores.WriteVec(s, [][]byte{want[4096:12288]}, 4096, backstores.Durable); err != nil {
				t.Fatal(err)
			}
			// This is never flushed, as if lunserve was killed.
			if err := backstores.WriteVec(s, [][]byte{want[1<<20 : 1<<20+4096]}, 1<<20, 0); err != nil {
				t.Fatal(err)
			}
			s.Close()
			storetest.Command(t, "touch", "-d", "2001-02-03", base)

			b := open(t, base, reading)
			_, _, err := image.OpenOverlay(ctx, path, b, base, false)
			b.Close()
			_, try := hint.Split(err)
			if !errors.Is(err, overlay.ErrTime) || len(try) != 1 {
				t.Fatalf("%v: %q", err, try)
			}
			line := try[0].Line()
			if pack { // lunserve would serve it meanwhile
				if strings.Join(try[0].Words[:3], " ") != "lunserve -r --run" || try[0].Words[4] != base {
					t.Fatalf("%q", try)
				}
				t.Setenv("dev", disk)
				line = try[0].Words[3]
			}
			storetest.Command(t, "sh", "-c", line)
			if string(storetest.ReadFile(t, filepath.Join(dir, "overlay.img"))) != string(want) {
				t.Error("the copy holds something else")
			}
			for _, m := range []image.Merge{{}, {Base: base}} {
				err := m.Export(ctx, path, filepath.Join(dir, "out.img"), false)
				text := hint.Text(err)
				if named := strings.Contains(text[strings.Index(text, "; try "):], base); named != (m.Base != "") {
					t.Errorf("%+v: %s", m, text)
				}
			}
		})
	}
}
