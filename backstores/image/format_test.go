package image_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
	"github.com/lunserve/lunserve/hint"
)

// containers are made from a disk, in.raw, with the usual tools. Their errors
// have hints which, typed one after the other, make that disk again.
var containers = []struct{ name, make, want string }{
	{"disk.qcow", "qemu-img convert -f raw -O qcow in.raw disk.qcow", "PATH: is a qcow image; try qemu-img convert -f qcow -O raw PATH NEW-disk.img"},
	{"disk.qed", "qemu-img convert -f raw -O qed in.raw disk.qed", "PATH: is a QED image; try qemu-img convert -f qed -O raw PATH NEW-disk.img"},
	{"disk.vmdk", "qemu-img convert -f raw -O vmdk in.raw disk.vmdk", "PATH: is a VMDK image; try qemu-img convert -f vmdk -O raw PATH NEW-disk.img"},
	{"disk.vhdx", "qemu-img convert -f raw -O vhdx in.raw disk.vhdx", "PATH: is a VHDX image; try qemu-img convert -f vhdx -O raw PATH NEW-disk.img"},
	{"disk.vdi", "qemu-img convert -f raw -O vdi in.raw disk.vdi", "PATH: is a VDI image; try qemu-img convert -f vdi -O raw PATH NEW-disk.img"},
	{"static.vdi", "qemu-img convert -f raw -O vdi -o static=on in.raw static.vdi", "PATH: is a VDI image; try qemu-img convert -f vdi -O raw PATH static.img"},
	{"disk.vhd", "qemu-img convert -f raw -O vpc -o force_size=on in.raw disk.vhd", "PATH: is a VHD image; try qemu-img convert -f vpc -O raw PATH NEW-disk.img"},
	{"fixed.img", "qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on in.raw fixed.img", "PATH: is a VHD image; try qemu-img convert -f vpc -O raw PATH fixed.raw"},
	{"a:b.vdi", "qemu-img convert -f raw -O vdi in.raw ./a:b.vdi", "PATH: is a VDI image; try qemu-img convert -f vdi -O raw ./PATH ./a:b.img"},
	{"-b.vdi", "qemu-img convert -f raw -O vdi in.raw ./-b.vdi", "PATH: is a VDI image; try qemu-img convert -f vdi -O raw ./PATH ./-b.img"},
	{"disk.hds", "qemu-img convert -f raw -O parallels in.raw disk.hds", "PATH: is a Parallels image; try qemu-img convert -f parallels -O raw PATH NEW-disk.img"},

	{"disk.img.gz", "gzip <in.raw >disk.img.gz", "PATH: is a gzip file; try zcat PATH >NEW-disk.img"},
	{"disk.img.xz", "xz <in.raw >disk.img.xz", "PATH: is an xz file; try xzcat PATH >NEW-disk.img"},
	{"disk.bz2", "bzip2 <in.raw >disk.bz2", "PATH: is a bzip2 file; try bzcat PATH >NEW-disk.img"},
	{"disk.lz4", "lz4 -q <in.raw >disk.lz4", "PATH: is an lz4 file; try lz4cat PATH >NEW-disk.img"},
	{"old.lz4", "lz4 -q -l <in.raw >old.lz4", "PATH: is an lz4 file; try lz4cat PATH >old.img"},
	{"disk.lzo", "lzop <in.raw >disk.lzo", "PATH: is an lzop file; try lzop -dc PATH >NEW-disk.img"},
	{"disk.lz", "lzip <in.raw >disk.lz", "PATH: is an lzip file; try lzip -dc PATH >NEW-disk.img"},
	{"disk.lrz", "lrzip -q -o disk.lrz in.raw", "PATH: is an lrzip file; try lrzcat PATH >NEW-disk.img"},
	{"disk.lzma", "xz --format=lzma <in.raw >disk.lzma", "PATH: is an lzma file; try lzcat PATH >NEW-disk.img"},
	{"disk.qcow2.gz", "qemu-img convert -f raw -O qcow2 in.raw t && gzip <t >disk.qcow2.gz && rm t", "PATH: is a gzip file; try zcat PATH >disk.qcow2"},

	{"disk.tar", "tar -cf disk.tar in.raw", "PATH: is a tar archive; try tar -xf PATH --one-top-level=disk"},
	{"old.tar", "tar --format=v7 -cf old.tar in.raw", "PATH: is a tar archive; try tar -xf PATH --one-top-level=old"},
	{"a:b.tar", "tar --force-local -cf a:b.tar in.raw", "PATH: is a tar archive; try tar -xf ./PATH --one-top-level=a:b"},
	{"machine.ova", "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized in.raw m.vmdk && echo '<Envelope/>' >m.ovf && tar -cf machine.ova m.ovf m.vmdk && rm m.*",
		"PATH: is a tar archive; try tar -xf PATH --one-top-level=machine"},
	{"disk.tar.gz", "tar -czf disk.tar.gz in.raw", "PATH: is a gzip file; try tar -xf PATH --one-top-level=disk"},
	{"disk.tar.xz", "tar -cJf disk.tar.xz in.raw", "PATH: is an xz file; try tar -xf PATH --one-top-level=disk"},
	{"disk.tbz2", "tar -cjf disk.tbz2 in.raw", "PATH: is a bzip2 file; try tar -xf PATH --one-top-level=NEW-disk"},
	{"gce.tar.gz", "mkdir g && cp in.raw g/disk.raw && tar --format=oldgnu -Sczf gce.tar.gz -C g disk.raw && rm -r g", "PATH: is a gzip file; try tar -xOf PATH disk.raw >gce.img"},
	{"disk.raw.tar", "mkdir g && cp in.raw g/disk.raw && tar -cf disk.raw.tar -C g disk.raw && rm -r g", "PATH: is a tar archive; try tar -xOf PATH disk.raw >disk.raw"},
	{"disk.zip", "zip -q disk.zip in.raw", "PATH: is a zip archive; try unzip -p PATH >NEW-disk.img"},
	{"two.zip", "touch readme && zip -q two.zip readme in.raw && rm readme", "PATH: is a zip archive; try unzip -q PATH -d two"},
	{"disk.7z", "7z a -bd disk.7z in.raw >log && rm log", "PATH: is a 7z archive; try 7z x -odisk PATH"},
	{"a b.7z", "7z a -bd 'a b.7z' in.raw >log && rm log", "PATH: is a 7z archive; try 7z x '-oa b' 'PATH'"},
	{"a$b.7z", "7z a -bd 'a$b.7z' in.raw >log && rm log", "PATH: is a 7z archive; try 7z x '-oa$b' 'PATH'"},

	{"disk.qcow2.zst", "qemu-img convert -f raw -O qcow2 in.raw t && zstd -q <t >disk.qcow2.zst && rm t", "PATH: unpacked, it is a qcow2 image; try lunserve unpack PATH disk.qcow2"},
	{"disk.vmdk.zst", "qemu-img convert -f raw -O vmdk in.raw t && zstd -q <t >disk.vmdk.zst && rm t", "PATH: unpacked, it is a VMDK image; try lunserve unpack PATH disk.vmdk"},
	{"fixed.vhd.zst", "qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on in.raw t && zstd -q <t >fixed.vhd.zst && rm t", "PATH: unpacked, it is a VHD image; try lunserve unpack PATH fixed.vhd"},
	{"disk.tar.zst", "tar -c in.raw | zstd -q >disk.tar.zst", "PATH: unpacked, it is a tar archive; try lunserve unpack PATH disk.tar"},
	{"disk.gz.zst", "gzip <in.raw | zstd -q >disk.gz.zst", "PATH: unpacked, it is a gzip file; try lunserve unpack PATH disk.gz"},
	{"disk.img.zst.zst", "zstd -q <in.raw | zstd -q >disk.img.zst.zst", "PATH: unpacked, it is a zstd file; try lunserve unpack PATH disk.img.zst"},
}

// No archive is a disk. A file in another format is served as raw only if that is
// asked for. The hints of its error, typed as they stand beside a precious
// disk.img, make the disk and change no file that was there.
func TestHintsOfContainersMakeTheDisk(t *testing.T) {
	disk := noise(256 << 10)
	for _, tt := range containers {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, "in.raw", disk)
			storetest.Command(t, "sh", "-euc", tt.make)
			os.Remove("in.raw")
			write(t, "disk.img", []byte("precious"))
			write(t, "disk", []byte("precious"))
			if strings.HasPrefix(tt.want, "PATH: is a tar") || strings.HasPrefix(tt.name, "disk.tar") || tt.name == "disk.7z" {
				os.Remove("disk") // so that the name is free
			}
			_, err := image.Open(ctx, tt.name, image.Options{})
			storetest.WantError(t, err, tt.name, tt.want)
			open(t, tt.name, image.Options{Format: image.Raw, ReadOnly: true})

			path := tt.name
			for err != nil {
				path = typed(t, err)
				_, err = image.Open(ctx, path, reading)
			}
			storetest.Holds(t, open(t, path, reading), disk)
		})
	}
}

// typed types the first hint of an error and returns the largest file that this
// has made. The files that were there must not change.
func typed(t *testing.T, err error) (path string) {
	t.Helper()
	_, try := hint.Split(err)
	if len(try) == 0 {
		t.Fatalf("no hint: %v", err)
	}
	before := files(t)
	if words := try[0].Words; words[0] == "lunserve" && words[1] == "unpack" {
		if err := unpack(words[2], words[3]); err != nil {
			t.Fatal(err)
		}
	} else {
		storetest.Command(t, "sh", "-euc", try[0].Line())
	}
	largest := int64(-1)
	after := files(t)
	for name := range after {
		if _, there := before[name]; there {
			continue
		}
		if st, err := os.Stat(name); err == nil && st.Size() > largest {
			path, largest = name, st.Size()
		}
	}
	for name, sum := range before {
		if after[name] != sum {
			t.Errorf("%s changed %s", try[0].Line(), name)
		}
	}
	if path == "" {
		t.Fatalf("%s made no file", try[0].Line())
	}
	return path
}

// files returns digests of the files below the working directory.
func files(t *testing.T) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The program that makes RAR archives is not free, so this one is made by hand.
func TestHintOfRARMakesTheDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(256 << 10)
	write(t, "disk.img", []byte("precious"))
	for name, want := range map[string]string{
		"disk.rar": "PATH: is a RAR archive; try unar -o disk PATH",
		"a b.rar":  "PATH: is a RAR archive; try unar -o 'a b' 'PATH'",
		"a$b.rar":  "PATH: is a RAR archive; try unar -o 'a$b' 'PATH'",
	} {
		write(t, name, rar("in.raw", disk))
		_, err := image.Open(ctx, name, image.Options{})
		storetest.WantError(t, err, name, want)
		storetest.Holds(t, open(t, typed(t, err), reading), disk)
	}
}

// rar returns an archive of version 1.5 to 4 with one member, stored.
func rar(name string, data []byte) []byte {
	header := func(kind byte, flags uint16, rest []byte) []byte {
		h := append([]byte{kind, byte(flags), byte(flags >> 8)}, le(2, uint64(7+len(rest)))...)
		h = append(h, rest...)
		return append(le(2, uint64(crc32.ChecksumIEEE(h)&0xffff)), h...)
	}
	n, sum := uint64(len(data)), uint64(crc32.ChecksumIEEE(data))
	file := slices.Concat(le(4, n), le(4, n), []byte{3}, le(4, sum), le(4, 0x5a000000), []byte{20, 0x30}, le(2, uint64(len(name))), le(4, 0x81a4), []byte(name))
	return slices.Concat([]byte("Rar!\x1a\x07\x00"), header(0x73, 0, make([]byte, 6)), header(0x74, 0x8000, file), data)
}

// No program of Debian makes images of macOS, so this one is made by hand.
func TestHintOfDMGMakesTheDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(256 << 10)
	write(t, "disk.dmg", dmg(disk))
	write(t, "disk.img", []byte("precious"))
	_, err := image.Open(ctx, "disk.dmg", image.Options{})
	storetest.WantError(t, err, "disk.dmg", "PATH: is a DMG image; try qemu-img convert -f dmg -O raw PATH NEW-disk.img")
	storetest.Holds(t, open(t, typed(t, err), reading), disk)
}

// dmg returns an image with one chunk, which is not compressed.
func dmg(disk []byte) []byte {
	b := binary.BigEndian
	n := uint64(len(disk))
	mish := make([]byte, 204+40)
	copy(mish, "mish")
	b.PutUint32(mish[204:], 1) // raw
	b.PutUint64(mish[204+0x10:], n/512)
	b.PutUint64(mish[204+0x20:], n)
	list := []byte("<plist><data>" + base64.StdEncoding.EncodeToString(mish) + "</data></plist>")
	trailer := make([]byte, 512)
	copy(trailer, "koly\x00\x00\x00\x04\x00\x00\x02\x00")
	b.PutUint64(trailer[0x20:], n)
	b.PutUint64(trailer[0xd8:], n)
	b.PutUint64(trailer[0xe0:], uint64(len(list)))
	b.PutUint64(trailer[0x1ec:], n/512)
	return slices.Concat(disk, list, trailer)
}

func le(n int, v uint64) (p []byte) {
	for ; n > 0; n-- {
		p, v = append(p, byte(v)), v>>8
	}
	return p
}

// The hint of a zstd file from before version 0.8, which lunserve does not read.
func TestHintOfOldZstdMakesTheDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	disk := noise(1 << 10)
	frame := slices.Concat([]byte("\x27\xb5\x2f\xfd\xa0"), le(4, 1<<10), []byte{0x40, 4, 0}, disk, []byte{0xc0, 0, 0})
	write(t, "disk.zst", frame)
	_, err := image.Open(ctx, "disk.zst", image.Options{})
	storetest.WantError(t, err, "disk.zst", "PATH: is a file of an old version of zstd; try zstd -dc PATH >disk.img")
	storetest.Holds(t, open(t, typed(t, err), reading), disk)
}

// A file that is known not to be a disk is refused, even if no command makes one.
func TestFilesThatHoldNoDiskAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct{ name, contents, want string }{
		{"a", "MSWIM\x00\x00\x00", "PATH: is a WIM archive"},
		{"b", "070701000002D1", "PATH: is a cpio archive"},
		{"c", "!<arch>\ndebian-binary", "PATH: is an ar archive"},
		{"d", "\xed\xab\xee\xdb\x03", "PATH: is an RPM package"},
		{"e", "\n<!DOCTYPE HTML>\n<title>404", "PATH: is a web page"},
		{"f.img.bmap", "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">", "PATH: is a block map, which describes an image"},
		{"g.img.bmap", "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">", "PATH: is a block map, which describes an image; try lunserve g.img"},
		{"h.ovf", "<?xml version=\"1.0\" ?>\n<Envelope>", "PATH: is an XML file"},
		{"i.asc", "-----BEGIN PGP SIGNATURE-----", "PATH: is a PGP signature or key"},
		{"j.img", "version https://git-lfs.github.com/spec/v1\noid", "PATH: is a Git LFS pointer"},
		{"k", "xar!\x00\x1c", "PATH: is a xar archive"},
	} {
		write(t, "g.img", make([]byte, 4096))
		write(t, tt.name, append([]byte(tt.contents), make([]byte, 4096)...))
		_, err := image.Open(ctx, tt.name, image.Options{})
		storetest.WantError(t, err, tt.name, tt.want)
	}
}

// A command that reads the image would also read the file that its header names.
func TestNoHintFollowsAHeader(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "secret", noise(1<<20))
	for _, tt := range []struct{ name, make, want string }{
		{"c.qcow", "qemu-img create -q -f qcow -b secret -F raw c.qcow", "PATH: is a qcow image with a backing file; try qemu-img info -f qcow PATH to see which"},
		{"d.qed", "qemu-img create -q -f qed -b secret -F raw d.qed", "PATH: is a QED image with a backing file; try qemu-img info -f qed PATH to see which"},
		{"e.vmdk", "qemu-img create -q -f vmdk base.vmdk 1M; qemu-img create -q -f vmdk -b base.vmdk -F vmdk e.vmdk", "PATH: is a VMDK image"},
		{"f.vmdk", "qemu-img create -q -f vmdk -o subformat=monolithicFlat f.vmdk 1M", "PATH: is a VMDK descriptor, which names the files that hold the disk; try cat -v PATH to see which"},
		{"g.vmdk", "qemu-img create -q -f vmdk g.vmdk 1M; printf '\\0\\0\\0\\0\\0\\0\\0\\0' | dd of=g.vmdk bs=1 seek=12 conv=notrunc status=none", "PATH: is a VMDK image"},
		{"h.vhd", "qemu-img create -q -f vpc h.vhd 1M; printf '\\4' | dd of=h.vhd bs=1 seek=63 conv=notrunc status=none", "PATH: is a VHD image that needs another"},
	} {
		storetest.Command(t, "sh", "-euc", tt.make)
		if tt.name == "h.vhd" { // the sum of its bytes is one more
			b, err := os.ReadFile(tt.name)
			if err != nil {
				t.Fatal(err)
			}
			b[67]--
			write(t, tt.name, b)
		}
		_, err := image.Open(ctx, tt.name, image.Options{})
		storetest.WantError(t, err, tt.name, tt.want)
		if _, try := hint.Split(err); len(try) > 0 {
			storetest.Command(t, "sh", "-euc", try[0].Line())
		}
	}
}

// A disk on which the beginning of a container is left is a disk.
func TestDiskWithRemainsOfAContainerIsADisk(t *testing.T) {
	for name, make := range map[string]string{
		"MBR":   "printf 'label: dos\n,4M\n,\n' | sfdisk -q disk",
		"GPT":   "printf 'label: gpt\n,4M\n,\n' | sfdisk -q disk",
		"ext4":  "mkfs.ext4 -q -F disk",
		"btrfs": "", // its superblock is at 64 KiB
	} {
		for _, remains := range []string{"QFI\xfb\x00\x00\x00\x03", "\x28\xb5\x2f\xfd\x04\x00", "PK\x03\x04", "\x3a\xff\x26\xed\x01\x00\x00\x00"} {
			t.Chdir(t.TempDir())
			storetest.Command(t, "truncate", "-s", "16M", "disk")
			if make != "" {
				storetest.Command(t, "sh", "-euc", make)
			} else {
				put(t, "disk", 64<<10+0x40, "_BHRfS_M")
			}
			put(t, "disk", 0, remains)
			if got := image.RawFormat(open(t, "disk", image.Options{})); got != image.Sparse {
				t.Errorf("%s, %q: format %q", name, remains, got)
			}
		}
	}
}

// A file that looks like an archive is raw because of the disk in it, or of the
// format that was given. Its guest may remove that disk, and nobody may give the
// format next time.
func TestDiskWithRemainsStaysRaw(t *testing.T) {
	for name, o := range map[string]image.Options{"disk found": {}, "format given": {Format: image.Raw}} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			storetest.Command(t, "truncate", "-s", "8M", "disk")
			storetest.Command(t, "mkfs.ext4", "-q", "-F", "disk")
			put(t, "disk", 0, "PK\x03\x04")
			s := open(t, "disk", o)
			if err := backstores.Zero(s, 512, 64<<10); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := image.RawFormat(open(t, "disk", image.Options{})); got == "" {
				t.Error("it is not raw any more")
			}
		})
	}
}

// An overlay alone is not an image. The error says what its header names as its
// base; the hint leaves it to the person to name one.
func TestOverlayIsServedOverItsBase(t *testing.T) {
	dir := t.TempDir()
	base, path := storetest.NewImage(t, dir, storetest.OddSize), filepath.Join(dir, "changes")
	s, _, err := image.OpenOverlay(ctx, path, open(t, base, reading), base, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := "PATH: is an overlay of " + base + "; try lunserve BASE --overlay PATH"
	_, err = image.Open(ctx, path, image.Options{})
	storetest.WantError(t, err, path, want)

	// QEMU puts its own header extensions before ours.
	storetest.Command(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", base, path)
	_, err = image.Open(ctx, path, image.Options{})
	storetest.WantError(t, err, path, want)
}

// noise returns bytes that cannot be compressed, and look like nothing.
func noise(n int) []byte {
	var p []byte
	for sum := sha256.Sum256(nil); len(p) < n; sum = sha256.Sum256(sum[:]) {
		p = append(p, sum[:]...)
	}
	return p[:n]
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// put writes text to a file at off.
func put(t testing.TB, path string, off int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), off); err != nil {
		t.Fatal(err)
	}
}
