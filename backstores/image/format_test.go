package image_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// An image in another format, made with the usual tool, is served as raw only if
// the format is given.
func TestContainersAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, make, want string }{
		{"disk.qcow2", "qemu-img create -q -f qcow2 disk.qcow2 1M", "PATH: is a qcow2 image; try qemu-img convert -O raw PATH DIR/disk.img"},
		{"disk.qed", "qemu-img create -q -f qed disk.qed 1M", "PATH: is a QED image; try qemu-img convert -O raw PATH DIR/disk.img"},
		{"disk.vmdk", "qemu-img create -q -f vmdk disk.vmdk 1M", "PATH: is a VMDK image; try qemu-img convert -O raw PATH DIR/disk.img"},
		{"flat.vmdk", "qemu-img create -q -f vmdk -o subformat=monolithicFlat flat.vmdk 1M", "PATH: is a VMDK descriptor; try qemu-img convert -O raw PATH DIR/flat.img"},
		{"disk.vhdx", "qemu-img create -q -f vhdx disk.vhdx 1M", "PATH: is a VHDX image; try qemu-img convert -O raw PATH DIR/disk.img"},
		{"disk.vdi", "qemu-img create -q -f vdi disk.vdi 1M", "PATH: is a VDI image; try qemu-img convert -O raw PATH DIR/disk.img"},
		{"disk.vhd", "qemu-img create -q -f vpc disk.vhd 1M", "PATH: is a VHD image; try qemu-img convert -O raw PATH DIR/disk.img"},
		{"fixed.img", "qemu-img create -q -f vpc -o subformat=fixed fixed.img 1M", "PATH: is a VHD image; try qemu-img convert -O raw PATH DIR/fixed.raw"},
		{"disk.img.gz", "seq 9999 | gzip >disk.img.gz", "PATH: is compressed with gzip; try zcat PATH >DIR/disk.img"},
		{"disk.img.xz", "seq 9999 | xz >disk.img.xz", "PATH: is compressed with xz; try xzcat PATH >DIR/disk.img"},
		{"disk.bz2", "seq 9999 | bzip2 >disk.bz2", "PATH: is compressed with bzip2; try bzcat PATH >DIR/disk.img"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, tt.name)
			storetest.Command(t, "sh", "-euc", "cd "+dir+"; "+tt.make)
			_, err := image.Open(ctx, path, image.Options{})
			storetest.WantError(t, err, path, strings.ReplaceAll(tt.want, "DIR", dir))
			open(t, path, image.Options{Format: image.Raw})
		})
	}
}

// An overlay alone is not an image. The hint names its base.
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
	const want = "PATH: is an overlay; try lunserve BASE --overlay PATH"
	_, err = image.Open(ctx, path, image.Options{})
	storetest.WantError(t, err, path, strings.ReplaceAll(want, "BASE", base))

	// QEMU puts its own header extensions before ours.
	storetest.Command(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", base, path)
	_, err = image.Open(ctx, path, image.Options{})
	storetest.WantError(t, err, path, strings.ReplaceAll(want, "BASE", base))
}
