package image_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// converted returns what qemu-img says that the disk in an image is.
func converted(t testing.TB, path string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "raw")
	storetest.Command(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, out)
	return storetest.ReadFile(t, out)
}

func TestQcow2IsOpened(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(1 << 20)
	write(t, "in.raw", disk)
	for _, name := range []string{"disk.qcow2", "-b.qcow2", "a:b.qcow2"} {
		storetest.Command(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "in.raw", "./"+name)
		for _, o := range []image.Options{{}, {Format: image.Qcow2}, reading} {
			s := open(t, name, o)
			storetest.Holds(t, s, disk)
			if got, want := image.Describe(s), "qcow2, clusters of 64 KiB"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if image.RawFormat(s) != "" {
				t.Error("it is raw")
			}
			if err := backstores.WriteVec(s, [][]byte{disk[:512]}, 0, 0); err == nil {
				t.Error("written")
			}
		}
	}
	_, err := image.Open(ctx, "disk.qcow2", image.Options{Create: 1 << 20})
	storetest.WantError(t, err, "disk.qcow2", "PATH: exists and is a qcow2 file; leave out --size to serve it as it is")
	_, err = image.Open(ctx, "disk.qcow2", image.Options{CacheSize: 1 << 19})
	storetest.WantError(t, err, "disk.qcow2", "PATH: clusters of 65536 bytes do not fit in 524288 bytes of memory; try --cache-size 1M")
}

// The files of a chain are those that were typed. A raw one stays raw, whatever its
// guest has written.
func TestBackingFilesAreTyped(t *testing.T) {
	t.Chdir(storetest.TempDir(t, "/var/tmp"))
	write(t, "base.img", noise(1<<20))
	served := open(t, "base.img", image.Options{Format: image.Raw})
	if err := backstores.WriteVec(served, [][]byte{[]byte(qcow2Head)}, 0, 0); err != nil {
		t.Fatal(err)
	}
	served.Close()
	write(t, "other.img", noise(1<<20))
	storetest.Command(t, "sh", "-euc", `
		qemu-img create -q -f qcow2 -b base.img -F raw middle
		qemu-io -f qcow2 -c 'write -q -P 1 64k 100k' middle
		qemu-img create -q -f qcow2 -b middle -F qcow2 top 2M
		qemu-io -f qcow2 -c 'write -q -P 2 128k 100k' -c 'write -q -z 512k 64k' top`)
	want := converted(t, "top")

	s := open(t, "top", image.Options{Backing: []string{"middle", "base.img"}})
	storetest.Holds(t, s, want)
	copy(want[228<<10:512<<10], storetest.ReadFile(t, "other.img")[228<<10:])
	n := copy(want[576<<10:], storetest.ReadFile(t, "other.img")[576<<10:])
	clear(want[576<<10+n:])
	copy(want, storetest.ReadFile(t, "other.img")[:64<<10])
	storetest.Holds(t, open(t, "top", image.Options{Backing: []string{"middle", "other.img"}}), want)

	for _, tt := range []struct {
		path    string
		backing []string
		want    string
	}{
		{"top", nil, "top: needs its backing file, which it calls middle; try --backing FILE"},
		{"top", []string{"middle"}, "middle: needs its backing file, which it calls base.img; try --backing FILE"},
		{"top", []string{"middle", "base.img", "other.img"}, "base.img: is a raw image, which has no backing file; leave out --backing"},
		{"top", []string{"middle", "baes.img"}, "baes.img: no such file or directory; did you mean base.img?"},
		{"other.img", []string{"base.img"}, "other.img: is a raw image, which has no backing file; leave out --backing"},
	} {
		_, err := image.Open(ctx, tt.path, image.Options{Backing: tt.backing})
		storetest.WantError(t, err, tt.path, tt.want)
	}
	storetest.Command(t, "cp", "top", "alone")
	storetest.Command(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "", "alone")
	_, err := image.Open(ctx, "alone", image.Options{Backing: []string{"middle"}})
	storetest.WantError(t, err, "alone", "PATH: has no backing file; leave out --backing")

	// What the header names is shown on one line.
	storetest.Command(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "a\n\x1b[1m", "alone")
	_, err = image.Open(ctx, "alone", image.Options{})
	storetest.WantError(t, err, "alone", `PATH: needs its backing file, which it calls a\n\x1b[1m; try --backing FILE`)
}

const qcow2Head = "QFI\xfb\x00\x00\x00\x03"

// What needs more than the file is refused with a command that makes the disk, if it
// gets the names that only a person can know.
func TestQcow2ThatIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(1 << 20)
	write(t, "in.raw", disk)
	write(t, "secret", disk)
	write(t, "key", []byte("open sesame"))
	const (
		// To make LUKS, QEMU measures its CPU time, and fails if that is 0: 4 of 30
		// times on a virtual machine (2026-11-28).
		aes   = "qemu-img create -q -f qcow2 --object secret,id=s,file=key -o encrypt.format=aes,encrypt.key-secret=s"
		write = "qemu-img convert -n -f raw -O qcow2 in.raw "
	)
	for _, tt := range []struct{ name, make, want, type_ string }{
		{"a.qcow2", "qemu-img create -q -f qcow2 -o data_file=data a.qcow2 1M && " + write + "a.qcow2",
			"PATH: its data is in another file; try qemu-img convert -O raw --image-opts driver=qcow2,file.filename=PATH,data-file.driver=file,data-file.filename=DATA-FILE a.img", "DATA-FILE=data"},
		{"b,1.qcow2", aes + ` b,1.qcow2 1M && qemu-img convert -n -f raw --object secret,id=s,file=key --target-image-opts in.raw driver=qcow2,file.filename=b,,1.qcow2,encrypt.key-secret=s`,
			"PATH: is encrypted; try qemu-img convert -O raw --object secret,id=key,file=KEY-FILE --image-opts driver=qcow2,file.filename=b,,1.qcow2,encrypt.key-secret=key b,1.img", "KEY-FILE=key"},
		{"c.qcow2", "qemu-img create -q -f qcow2 -b secret -F raw -o data_file=data2 c.qcow2", "PATH: its data is in another file", ""},
		{"d.qcow2", aes + " -b secret -F raw d.qcow2", "PATH: is encrypted; try qemu-img info -f qcow2 PATH to see which", ""},
		{"e.qcow2", "qemu-img create -q -f qcow2 e.qcow2 1M; printf '\\200' | dd of=e.qcow2 bs=1 seek=78 conv=notrunc status=none",
			"PATH: has a feature that lunserve does not know: incompatible feature 15; try qemu-img convert -f qcow2 -O raw PATH e.img", ""},
		{"f.qcow2", "qemu-img create -q -f qcow2 f.qcow2 1M; truncate -s 100k f.qcow2", "PATH: is cut short: it has 102400 bytes, and its L1 table is at 196608; try qemu-img check -f qcow2 PATH", ""},
	} {
		storetest.Command(t, "sh", "-euc", tt.make)
		os.WriteFile("disk.img", []byte("precious"), 0o600)
		_, err := image.Open(ctx, tt.name, image.Options{})
		storetest.WantError(t, err, tt.name, tt.want)
		if tt.type_ == "" {
			continue
		}
		_, try := hint.Split(err)
		placeholder, name, _ := strings.Cut(tt.type_, "=")
		for i := range try[0].Words {
			try[0].Words[i] = strings.Replace(try[0].Words[i], placeholder, name, 1)
		}
		storetest.Command(t, "sh", "-euc", try[0].Line())
		words := try[0].Words
		storetest.Holds(t, open(t, words[len(words)-1], reading), disk)
	}
}

// An overlay of ours has writes that only lunserve knows of, also if its format is
// given.
func TestOverlayIsNoQcow2Image(t *testing.T) {
	dir := t.TempDir()
	base, path := storetest.NewImage(t, dir, storetest.OddSize), filepath.Join(dir, "changes")
	if err := openOverlay(t, path, base).Close(); err != nil {
		t.Fatal(err)
	}
	_, err := image.Open(ctx, path, image.Options{Format: image.Qcow2, Backing: []string{base}})
	storetest.WantError(t, err, path, "PATH: is an overlay of "+base+"; try lunserve BASE --overlay PATH")
}

// Writes to a qcow2 image are kept in an overlay over it, which QEMU reads as well.
// They can be merged into a new image.
func TestOverlayOverQcow2(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(1 << 20)
	write(t, "in.raw", disk)
	storetest.Command(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "in.raw", "disk.qcow2")
	before := storetest.ReadFile(t, "disk.qcow2")
	s := openOverlay(t, "changes", "disk.qcow2")
	copy(disk[123_000:], make([]byte, 50_000))
	if err := backstores.WriteVec(s, [][]byte{disk[123_000:173_000]}, 123_000, backstores.Durable); err != nil {
		t.Fatal(err)
	}
	storetest.Holds(t, s, disk)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := converted(t, "changes"); !reflect.DeepEqual(got, disk) {
		t.Error("QEMU reads something else")
	}
	base, err := filepath.Abs("disk.qcow2")
	if err != nil {
		t.Fatal(err)
	}
	storetest.WantError(t, image.Merge{}.Commit(ctx, "changes"), base, "PATH: is not a raw image in a file, and cannot be written; try lunserve commit changes -o disk.img")
	if err := (image.Merge{}).Export(ctx, "changes", "disk.img", false); err != nil {
		t.Fatal(err)
	}
	storetest.Holds(t, open(t, "disk.img", reading), disk)
	if !reflect.DeepEqual(storetest.ReadFile(t, "disk.qcow2"), before) {
		t.Error("the base has changed")
	}
}

func TestQcow2IsDescribedAndUnpacked(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(1 << 20)
	write(t, "in.raw", disk)
	write(t, "text", []byte(strings.Repeat("the quick brown fox\n", 12<<10)))
	storetest.Command(t, "sh", "-euc", `
		truncate -s 1M text
		qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd,cluster_size=4k text disk.qcow2
		qemu-img snapshot -c one disk.qcow2
		qemu-io -f qcow2 -c 'write -q -P 1 0 8k' disk.qcow2
		qemu-img create -q -f qcow2 -b in.raw -F raw top`)
	text := converted(t, "disk.qcow2")
	i, s, err := image.Inspect(ctx, "disk.qcow2", image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Holds(t, s, text)
	s.Close()
	want := image.Info{Format: "qcow2", Size: 1 << 20, Stored: i.Stored, Random: true, ClusterSize: 4096, Compressed: 232 << 10, Compression: "zstd", Snapshots: 1, Serve: "lunserve disk.qcow2"}
	if i.Info != want {
		t.Errorf("%+v\n%+v", i.Info, want)
	}
	if err := unpack("disk.qcow2", "disk.img"); err != nil {
		t.Fatal(err)
	}
	storetest.Holds(t, open(t, "disk.img", reading), text)

	// A header can claim any number of snapshots.
	put(t, "disk.qcow2", 60, "\xff\xff\xff\xff")
	if i, s, err = image.Inspect(ctx, "disk.qcow2", image.Options{}); err != nil || i.Snapshots != 1<<32-1 {
		t.Fatalf("%+v, %v", i, err)
	}
	s.Close()

	// Without its backing file it is described, and not opened.
	i, s, err = image.Inspect(ctx, "top", image.Options{})
	if err != nil || s != nil || i.Backing != "in.raw" || i.Size != 1<<20 || i.Serve != "lunserve --backing FILE top" {
		t.Errorf("%+v, %v, %v", i, s, err)
	}
	_, err = image.CheckOpen(ctx, "top", image.Options{})
	storetest.WantError(t, err, "top", "PATH: needs its backing file, which it calls in.raw; try --backing FILE")
	storetest.WantError(t, unpack("top", "other.img"), "top", "PATH: needs its backing file, which it calls in.raw; try --backing FILE")
	i, s, err = image.Inspect(ctx, "top", image.Options{Backing: []string{"in.raw"}})
	if err != nil || i.Serve != "lunserve --backing in.raw top" {
		t.Fatalf("%+v, %v", i, err)
	}
	storetest.Holds(t, s, disk)
	s.Close()
	if c, err := image.CheckOpen(ctx, "top", image.Options{Backing: []string{"in.raw"}}); err != nil || c.Temporary != 1<<20 {
		t.Errorf("%+v, %v", c, err)
	}
}

// A file that is too short for a header has none, and gets no command that reads one.
func TestQcow2ShorterThanItsHeader(t *testing.T) {
	t.Chdir(t.TempDir())
	head := append([]byte(qcow2Head), "\x00\x00\x00\x00\x00\x00\x00\x70"...) // of a backing file
	head = append(head, make([]byte, 104-len(head))...)
	for n := range len(head) - 1 {
		write(t, "disk", head[:n+1])
		_, err := image.Open(ctx, "disk", image.Options{Format: image.Qcow2})
		storetest.WantError(t, err, "disk", "PATH: is not a qcow2 image")
	}
}

// QEMU opens the file that a header names for the data, so no command reads an image
// with such a header, whatever else is wrong with it.
func TestNoCommandReadsADataFile(t *testing.T) {
	t.Chdir(t.TempDir())
	storetest.Command(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=data", "made", "1M")
	b := binary.BigEndian
	for want, change := range map[string]func([]byte){
		"the header has a length that QCOW2 does not allow":               func(p []byte) { b.PutUint32(p[100:], 8) },
		"a header extension is larger than the header":                    func(p []byte) { b.PutUint32(p[b.Uint32(p[100:])+4:], 1<<31) },
		"the name of the backing file is too long, or outside the header": func(p []byte) { b.PutUint64(p[8:], 1<<15); b.PutUint32(p[16:], 1<<30) },
	} {
		p := storetest.ReadFile(t, "made")
		change(p)
		write(t, "disk", p)
		_, err := image.Open(ctx, "disk", image.Options{})
		storetest.WantError(t, err, "disk", "PATH: "+want)
	}
}

// An overlay knows one file again. So there is none over an image with a backing
// file, which could be another one next time.
func TestNoOverlayOverAChain(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "-base", noise(1<<20))
	storetest.Command(t, "sh", "-euc", `
		qemu-img create -q -f qcow2 -b ./-base -F raw disk.qcow2
		qemu-io -f qcow2 -c 'write -q -P 1 64k 100k' disk.qcow2`)
	s := open(t, "disk.qcow2", image.Options{Backing: []string{"-base"}})
	const want = "PATH: has a backing file, which an overlay would not know again; try lunserve unpack --backing ./-base PATH disk.img to make a base of both"
	_, _, err := image.OpenOverlay(ctx, "changes", s, "disk.qcow2", false)
	storetest.WantError(t, err, "disk.qcow2", want)
	storetest.WantError(t, image.TakesOverlay(s), "disk.qcow2", want)
	i, s, err := image.Inspect(ctx, "disk.qcow2", image.Options{Backing: []string{"-base"}})
	if err != nil || i.Serve != "lunserve --backing ./-base disk.qcow2" {
		t.Errorf("%q, %v", i.Serve, err)
	}
	s.Close()
	if _, err := os.Lstat("changes"); err == nil {
		t.Error("an overlay was made")
	}
}

// What others write to an image while it is served is no data of its disk: no table
// and no cluster is read from it any more.
func TestQcow2ChangedWhileServed(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "in.raw", bytes.Repeat([]byte("fox "), 1<<18))
	for _, name := range []string{"new.qcow2", "read.qcow2"} {
		storetest.Command(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "in.raw", name)
		s := open(t, name, image.Options{})
		p := make([]byte, 512)
		if name == "read.qcow2" { // the table, and the first cluster
			if _, err := s.ReadAt(p, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(name, time.Time{}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		_, err := s.ReadAt(p, 500<<10)
		storetest.WantError(t, err, name, "PATH: the image was changed while it was served")
	}
}

// An image can be as long as its disk. An overlay over the one is none over the other.
func TestOverlayKnowsTheFormatOfItsBase(t *testing.T) {
	t.Chdir(t.TempDir())
	storetest.Command(t, "sh", "-euc", `
		qemu-img create -q -f qcow2 disk.qcow2 1M
		truncate -s 1M disk.qcow2`)
	for format, other := range map[string]string{image.Qcow2: image.Raw, image.Raw: image.Qcow2} {
		path := "changes-" + format
		for _, o := range []image.Options{{Format: format, ReadOnly: true}, {Format: other, ReadOnly: true}, {Format: format, ReadOnly: true}} {
			s, _, err := image.OpenOverlay(ctx, path, open(t, "disk.qcow2", o), "disk.qcow2", false)
			if o.Format == format {
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				continue
			}
			storetest.WantError(t, err, "disk.qcow2", "PATH: is not read in the format that it had when "+path+" was made over it; try --format "+format)
		}
	}
}

// QEMU marks an image in which it has found an error, and does not write to it again.
func TestCorruptQcow2IsServedWithANotice(t *testing.T) {
	t.Chdir(t.TempDir())
	storetest.Command(t, "qemu-img", "create", "-q", "-f", "qcow2", "disk.qcow2", "1M")
	var notices []string
	o := image.Options{Notice: func(err error) { notices = append(notices, hint.Text(err)) }}
	open(t, "disk.qcow2", o)
	put(t, "disk.qcow2", 79, "\x02")
	open(t, "disk.qcow2", o)
	want := []string{"disk.qcow2: is marked as corrupt, and may hold wrong data; try qemu-img check -f qcow2 disk.qcow2"}
	if !reflect.DeepEqual(notices, want) {
		t.Errorf("%q, want %q", notices, want)
	}
}
