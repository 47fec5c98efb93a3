package image_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// Temporary is what Open and later writes may need.
func TestCheckOpenReportsTemporarySpace(t *testing.T) {
	if _, err := exec.LookPath("img2simg"); err != nil {
		storetest.Missing(t, "android-sdk-libsparse-utils", err)
	}
	raw := storetest.NewFile(t, t.TempDir(), 4<<20)
	// A frame of unknown size may be larger than the cache.
	unsized := filepath.Join(t.TempDir(), "unsized.zst")
	if out, err := exec.Command("sh", "-c", `zstd -q <"$1" >"$2"`, "sh", raw, unsized).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sized := filepath.Join(t.TempDir(), "sized.zst")
	if out, err := exec.Command("zstd", "-q", raw, "-o", sized).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	simg := filepath.Join(t.TempDir(), "image.simg")
	storetest.Command(t, "img2simg", raw, simg)
	for _, tt := range []struct {
		path string
		o    image.Options
		want int64
	}{
		{raw, writing, 0},
		{simg, writing, 4 << 20},
		{simg, reading, 0},
		{sized, writing, 4 << 20},
		{sized, reading, 0},
		{sized, image.Options{ReadOnly: true, CacheSize: 1 << 20}, 4 << 20}, // unpacked
		{unsized, reading, -1},
	} {
		r, err := image.CheckOpen(ctx, tt.path, tt.o)
		if err != nil || r.Temporary != tt.want {
			t.Errorf("%s, %+v: %d, %v, want %d", tt.path, tt.o, r.Temporary, err, tt.want)
		}
	}
}

// CheckOpen fails like Open, and leaves no lock.
func TestCheckOpenFailsLikeOpen(t *testing.T) {
	path := storetest.NewFile(t, t.TempDir(), 4096)
	s := open(t, path, writing)
	_, err := image.CheckOpen(ctx, path, writing)
	storetest.WantError(t, err, path, "PATH: already open in this process; give each image once")
	s.Close()
	if _, err := image.CheckOpen(ctx, path, writing); err != nil {
		t.Error(err)
	}
	open(t, path, writing).Close()

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = image.CheckOpen(ctx, path, image.Options{Create: 1 << 20})
	storetest.WantError(t, err, path, "PATH: no such file or directory; try lunserve --size 10G PATH to make one")
}
