package image_test

import (
	"os"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/qcow2"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// writeTop writes a qcow2 image of size bytes that has no clusters. Its header calls
// the backing file base, in this format.
func writeTop(t *testing.T, path, format string, size int) {
	t.Helper()
	h := qcow2.Header{ClusterBits: 16, Size: uint64(size), L1Size: 1, L1At: 1 << 16, RefcountOrder: 4, Backing: "base"}
	if format != "" {
		h.Extensions = []qcow2.Extension{{Type: qcow2.BackingFormat, Data: []byte(format)}}
	}
	write(t, path, append(h.Bytes(), make([]byte, 2<<16)...)[:2<<16])
}

// A backing file is read in the format that the header names, or not at all.
func TestFormatOfBackingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(1 << 20)
	write(t, "base.img", disk)
	storetest.Command(t, "sh", "-euc", `
		qemu-img convert -f raw -O qcow2 base.img base.qcow2
		zstd -q base.img base.qcow2
		gzip -k base.img`)
	out, err := os.Create("out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, tt := range []struct{ says, backing, want string }{
		{"raw", "base.img", ""},
		{"raw", "base.img.zst", "base.img.zst: is a zstd file, and top says that its backing file is in the format raw; try lunserve unpack base.img.zst NEW-base.img"},
		{"raw", "base.img.gz", "base.img.gz: is a gzip file; try zcat base.img.gz >NEW-base.img"},
		{"raw", "base.qcow2", "base.qcow2: is a qcow2 file, and top says that its backing file is in the format raw"},
		{"qcow2", "base.qcow2", ""},
		{"qcow2", "base.img", "base.img: is not a qcow2 image"},
		{"qcow2", "base.qcow2.zst", "base.qcow2.zst: is a zstd file, and top says that its backing file is in the format qcow2; try lunserve unpack base.qcow2.zst NEW-base.qcow2"},
		{"", "base.img", ""},
		{"", "base.qcow2", ""},
		{"", "base.img.zst", ""},
		{"", "base.qcow2.zst", "base.qcow2.zst: unpacked, it is a qcow2 image; try lunserve unpack base.qcow2.zst NEW-base.qcow2"},
		{"luks", "base.img", "top: says that its backing file is in the format luks, which lunserve does not read"},
	} {
		writeTop(t, "top", tt.says, len(disk))
		o := image.Options{Backing: []string{tt.backing}}
		s, err := image.Open(ctx, "top", o)
		if tt.want != "" {
			storetest.WantError(t, err, "top", tt.want)
			// The file in a compressed one is not what is asked for either.
			_, err = image.Unpack(ctx, "top", out, o)
			storetest.WantError(t, err, "top", tt.want)
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		storetest.Holds(t, s, disk)
		s.Close()
	}
}

// A device has no name that says what is on it, and no attribute.
func TestFormatOfBackingDevice(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(1 << 20)
	write(t, "base.img", disk)
	storetest.Command(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "base.img", "base.qcow2")
	dev, file := storetest.Loop(t, 2<<20)
	base := storetest.ReadFile(t, "base.qcow2")
	put(t, dev, 0, string(base))
	o := image.Options{Backing: []string{dev}}

	writeTop(t, "top", "qcow2", len(disk))
	storetest.Holds(t, open(t, "top", o), disk)
	writeTop(t, "top", "raw", len(disk))
	storetest.Holds(t, open(t, "top", o), storetest.ReadFile(t, file)[:len(disk)])
	writeTop(t, "top", "", len(disk))
	_, err := image.Open(ctx, "top", o)
	storetest.WantError(t, err, dev, "PATH: looks like a qcow2 image, and top does not say in which format its backing file is")
}

// A backing file that is named for nothing is an error, also if it is only asked what
// an image is.
func TestInspectTakesNoUselessBackingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "disk.img", noise(1<<20))
	storetest.Command(t, "zstd", "-q", "disk.img")
	for path, format := range map[string]string{"disk.img": "raw", "disk.img.zst": "zstd"} {
		_, _, err := image.Inspect(ctx, path, image.Options{Backing: []string{"disk.img"}})
		storetest.WantError(t, err, path, "PATH: is a "+format+" image, which has no backing file; leave out --backing")
	}
}

// The images of a chain share the memory, of whatever format they are.
func TestChainSharesMemory(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(400 << 10)
	write(t, "base.img", disk)
	storetest.Command(t, "zstd", "-q", "base.img")
	writeTop(t, "top", "", len(disk))
	// Half of it has no room for four frames of 400 KiB.
	for memory, want := range map[int64]string{
		2 << 20: "base.img.zst: ",
		4 << 20: "",
	} {
		var notices []string
		o := image.Options{Backing: []string{"base.img.zst"}, CacheSize: memory, Notice: func(err error) { notices = append(notices, err.Error()) }}
		s := open(t, "top", o)
		storetest.Holds(t, s, disk)
		if got := strings.Join(notices, "\n"); (got == "") != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%d bytes of memory: %q", memory, got)
		}
	}
}
