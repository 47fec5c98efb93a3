package overlay_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/overlay"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// After a kill QEMU writes to the overlay. What was not flushed before the kill
// stays away from then on.
func TestUnflushedWritesDoNotReturnAfterQEMU(t *testing.T) {
	dir := storetest.MemDir(t)
	base, path, out := filepath.Join(dir, "base.img"), filepath.Join(dir, "overlay.qcow2"), filepath.Join(dir, "out.img")
	if err := os.WriteFile(base, make([]byte, 2<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	killWriter(t, dir, "8192 1048576")
	storetest.Command(t, "qemu-io", "-f", "qcow2", "-c", "write -P 0x51 12288 4096", path)
	storetest.Command(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, out)
	s := openOverlay(t, path, base)
	defer s.Close()
	storetest.Holds(t, s, storetest.ReadFile(t, out))
}

// Whatever QEMU has done to an overlay, closed or left by a kill, lunserve either
// reads what QEMU reads, and QEMU what lunserve writes then, or refuses the
// overlay with a command that keeps what is in it.
func TestOverlayAfterQEMU(t *testing.T) {
	const changed = "was changed by another program, or is damaged: "
	const place = changed + "its map has entries that lunserve does not write"
	for _, row := range []struct {
		line string // for sh: $o is the overlay, $b its base, $t a new file
		want string // the error, if any
	}{
		{"qemu-io -f qcow2 -c 'write -P 1 4096 8k' $o", ""},
		{"qemu-io -f qcow2 -c 'write -P 1 4096 8k' -c abort $o", ""},
		{"qemu-io -f qcow2 -c 'write -P 1 4096 8k' -c flush -c abort $o", ""},
		{"qemu-io -f qcow2 -c 'reopen -o lazy-refcounts=on' -c 'write -P 1 4096 8k' -c flush -c abort $o", ""},
		{"qemu-io -f qcow2 -c 'discard 0 4k' $o", ""}, // less than a cluster, so nothing
		{"qemu-io -f qcow2 -c 'discard 0 128k' $o", place},
		{"qemu-io -f qcow2 -c 'write -z 1M 4k' $o", place},
		{"qemu-io -f qcow2 -c 'write -z -u 1M 128k' $o", place},
		{"qemu-io -f qcow2 -c 'write -P 1 1G 4k' $o", place}, // where lunserve has no table
		{"qemu-io -f qcow2 -c 'write -P 1 1G 4k' -c abort $o", place},
		{"qemu-io -f qcow2 -c 'write -c -P 1 1G 128k' $o", place},
		{"qemu-img check -q -r all -f qcow2 $o", ""},
		{"qemu-img snapshot -c one $o", changed + "it has snapshots"},
		{"qemu-img snapshot -c one $o && qemu-img snapshot -d one $o", ""},
		{"qemu-img bitmap -f qcow2 --add $o b", changed + "it has bitmaps"},
		{"qemu-img bitmap -f qcow2 --add $o b && qemu-img bitmap -f qcow2 --remove $o b", ""},
		{"qemu-img resize -q -f qcow2 $o 3G", changed + "its disk was resized from 1074790400 bytes to 3221225472"},
		{"qemu-img resize -q -f qcow2 $o 1026M && qemu-img resize -q -f qcow2 --shrink $o 1025M", place}, // a table for nothing
		{"qemu-img resize -q -f qcow2 $o 3G && qemu-img resize -q -f qcow2 --shrink $o 1025M", changed + "its tables are elsewhere, or of another kind"},
		{"qemu-img amend -f qcow2 -o lazy_refcounts=on $o", changed + "it has features that lunserve does not use"},
		{"qemu-img rebase -u -f qcow2 -F raw -b $b $o", ""},
		{"qemu-img rebase -u -f qcow2 -b '' $o", changed + "its header names no base"},
		{"qemu-img commit -q -f qcow2 $o", changed + "its tables are elsewhere, or of another kind"},
		{"qemu-img create -q -f qcow2 -F qcow2 -b $o $t && qemu-io -f qcow2 -c 'write -P 1 4096 8k' $t && qemu-img commit -q $t", ""},
	} {
		t.Run(row.line, func(t *testing.T) {
			dir := storetest.MemDir(t)
			base, path := filepath.Join(dir, "base.img"), filepath.Join(dir, "overlay.qcow2")
			out, top := filepath.Join(dir, "out.img"), filepath.Join(dir, "top.qcow2")
			if err := os.WriteFile(base, bytes.Repeat([]byte{0xbb}, 3<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(base, 1025<<20); err != nil {
				t.Fatal(err)
			}
			openOverlay(t, path, base).Close()
			killed, err := openMortal(t, path, base, overlay.SessionOf, false, -1, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range []struct {
				off  int64
				flag backstores.Flag
			}{{0, backstores.Durable}, {8192, 0}, {1 << 20, 0}} {
				if err := killed.WriteVec([][]byte{bytes.Repeat([]byte{0x77}, 8192)}, w.off, w.flag); err != nil {
					t.Fatal(err)
				}
			}
			killed.die()
			storetest.Command(t, "sh", "-c", "o="+path+" b="+base+" t="+top+"; "+row.line+"; test $? = 0 -o $? = 134")
			// Without the path in the header, which may be gone.
			storetest.Command(t, "qemu-img", "convert", "-O", "raw", "--image-opts",
				"driver=qcow2,file.filename="+path+",backing.driver=raw,backing.file.filename="+base, out)

			b := open(t, base, true)
			o, _, err := image.OpenOverlay(ctx, path, b, base, false)
			if row.want != "" {
				b.Close()
				refusedWithCopy(t, err, path, row.want, out)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sameAs(t, o, out)
			for _, off := range []int64{16384, 1<<30 + 4096} {
				if err := backstores.WriteVec(o, [][]byte{bytes.Repeat([]byte{0x88}, 12288)}, off, 0); err != nil {
					t.Fatal(err)
				}
			}
			if err := backstores.Flush(o); err != nil {
				t.Fatal(err)
			}
			if out := storetest.Command(t, "qemu-img", "check", "-U", path); !strings.Contains(out, "No errors") {
				t.Error(out)
			}
			storetest.Command(t, "qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", path, out)
			sameAs(t, o, out)
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if info := storetest.Command(t, "qemu-img", "info", path); strings.Contains(info, "cleanly shut down: no") {
				t.Error(info)
			}
		})
	}
}

// sameAs checks that a store holds what the raw image at path holds.
func sameAs(t *testing.T, s backstores.Backstore, path string) {
	t.Helper()
	wanted := open(t, path, true)
	defer wanted.Close()
	storetest.Same(t, s, wanted)
}

// refusedWithCopy checks an error, and that its command makes the image wanted.
func refusedWithCopy(t *testing.T, err error, path, want, wanted string) {
	t.Helper()
	if !errors.Is(err, overlay.ErrChanged) || err.Error() != path+": "+want {
		t.Fatalf("error %v, want %q", err, want)
	}
	_, try := hint.Split(err)
	if len(try) != 1 {
		t.Fatal(try)
	}
	storetest.Command(t, "sh", "-c", try[0].Line())
	made := open(t, try[0].Words[len(try[0].Words)-1], true)
	defer made.Close()
	sameAs(t, made, wanted)
}

// While it is served, and after a kill, qemu-img says so. It does not change that
// by reading.
func TestQEMUReadsAndTheMarksStillCount(t *testing.T) {
	dir := storetest.MemDir(t)
	base, path := filepath.Join(dir, "base.img"), filepath.Join(dir, "overlay.qcow2")
	want := bytes.Repeat([]byte{0xbb}, 2<<20)
	if err := os.WriteFile(base, want, 0o644); err != nil {
		t.Fatal(err)
	}
	killWriter(t, dir, "8192 1048576")
	copy(want[8192:], bytes.Repeat([]byte{0x77}, 4096))
	copy(want[1048576:], bytes.Repeat([]byte{0x77}, 4096))
	for _, args := range [][]string{
		{"qemu-img", "check", path},
		{"qemu-img", "convert", "-O", "raw", path, filepath.Join(dir, "out.img")},
		{"qemu-io", "-r", "-f", "qcow2", "-c", "read 0 8k", path},
		{"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", path, filepath.Join(dir, "top.qcow2")},
		{"qemu-io", "-f", "qcow2", "-c", "write 0 8k", filepath.Join(dir, "top.qcow2")},
	} {
		storetest.Command(t, args[0], args[1:]...)
	}
	if info := storetest.Command(t, "qemu-img", "info", path); !strings.Contains(info, "cleanly shut down: no") {
		t.Error(info)
	}
	s := openOverlay(t, path, base)
	defer s.Close()
	storetest.Holds(t, s, want)
}
