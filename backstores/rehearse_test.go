package backstores_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lunserve/lunserve/backstores"
)

// Rehearse says of temporary files what Open and the writes to come may need.
func TestRehearseTellsOfTemporaryFiles(t *testing.T) {
	if _, err := exec.LookPath("img2simg"); err != nil {
		lacks(t, "android-sdk-libsparse-utils", err)
	}
	raw := newFile(t, t.TempDir(), 4<<20)
	// A frame of unknown size is larger than any cache, for all that is known.
	unsized := filepath.Join(t.TempDir(), "unsized.zst")
	if out, err := exec.Command("sh", "-c", `zstd -q <"$1" >"$2"`, "sh", raw, unsized).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sized := filepath.Join(t.TempDir(), "sized.zst")
	if out, err := exec.Command("zstd", "-q", raw, "-o", sized).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	simg := filepath.Join(t.TempDir(), "image.simg")
	run(t, "img2simg", raw, simg)
	for _, tt := range []struct {
		path string
		o    backstores.Options
		want int64
	}{
		{raw, writing, 0},
		{simg, writing, 4 << 20},
		{simg, reading, 0},
		{sized, writing, 4 << 20},
		{sized, reading, 0},
		{sized, backstores.Options{ReadOnly: true, CacheSize: 1 << 20}, 4 << 20}, // is unpacked
		{unsized, reading, -1},
	} {
		r, err := backstores.Rehearse(tt.path, tt.o)
		if err != nil || r.Temporary != tt.want {
			t.Errorf("%s, %+v: %d, %v, want %d", tt.path, tt.o, r.Temporary, err, tt.want)
		}
	}
}

// Rehearse fails as Open would, and holds nothing afterwards.
func TestRehearseFailsAsOpen(t *testing.T) {
	path := newFile(t, t.TempDir(), 4096)
	s := openAs(t, path, writing)
	_, err := backstores.Rehearse(path, writing)
	wantError(t, err, path, "PATH: open here already; give each image once")
	s.Close()
	if _, err := backstores.Rehearse(path, writing); err != nil {
		t.Error(err)
	}
	openAs(t, path, writing).Close()

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = backstores.Rehearse(path, backstores.Options{Create: 1 << 20})
	wantError(t, err, path, "PATH: no such file or directory; try lunserve --size 10G PATH to make one")
}
