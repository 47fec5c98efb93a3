package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// packers are shell commands that pack the image $1 into the zstd file $2. $0 is
// lunserve.
var packers = map[string]string{
	"lunserve pack":          `"$0" pack "$1" "$2"`,
	"zstd, one frame":        `zstd -q "$1" -o "$2"`,
	"zstd --adapt, by parts": `split -b 24M --filter="zstd -q --adapt" "$1" >"$2"`,
	"pzstd":                  `pzstd -q "$1" -o "$2"`,
}

// A zstd file by any packer is mounted and written to. The file itself does not
// change.
func TestPackedImageIsMounted(t *testing.T) {
	for name, packer := range packers {
		t.Run(name, func(t *testing.T) {
			needTarget(t)
			need(t, "zstd")
			need(t, "pzstd")
			dir := tmpfsDir(t)
			files, image := newFileSystem(t, dir)
			packed := image + ".zst"
			run(t, "sh", "-c", packer, binary, image, packed)
			before := digest(t, packed)

			s := start(t, "--tmpdir="+dir, packed)
			s.stderr.await(t, `: zstd, .* writes are temporary, in `+dir+`, and dropped at exit\n`)
			mnt := t.TempDir()
			mount(t, s.disks[0], mnt)
			run(t, "diff", "-r", files, mnt)
			added := filepath.Join(mnt, "new")
			if err := os.WriteFile(added, noise(5<<20, 9), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(mnt, "noise")); err != nil {
				t.Fatal(err)
			}
			dropCaches(t)
			holds(t, added, 0, noise(5<<20, 9))
			run(t, "umount", mnt)
			run(t, "e2fsck", "-fn", s.disks[0])
			s.ends()

			if digest(t, packed) != before {
				t.Error("the image has changed")
			}
			if found := glob(t, dir+"/*"); len(found) != 3 {
				t.Errorf("more than the files, the image and the packed image: %v", found)
			}
		})
	}
}

// lunserve is killed under a mounted file system. Flushed data is in the overlay,
// and after commit in the new image. Only commit changes the base.
func TestOverlayOutlivesItsServer(t *testing.T) {
	for _, tt := range []struct{ name, packer string }{
		{"raw", `cp --sparse=always "$1" "$2"`},
		{"zstd", packers["lunserve pack"]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needTarget(t)
			dir := tmpfsDir(t)
			files, image := newFileSystem(t, dir)
			base, overlay := filepath.Join(dir, "base"), filepath.Join(dir, "overlay")
			run(t, "sh", "-c", tt.packer, binary, image, base)
			before, mnt := digest(t, base), t.TempDir()
			// change makes a change on the disk and in the folder it is compared with.
			change := func(do func(dir string) error) {
				t.Helper()
				for _, dir := range []string{files, mnt} {
					if err := do(dir); err != nil {
						t.Fatal(err)
					}
				}
			}

			old := traces(t)
			s := start(t, "--overlay="+overlay, base)
			mount(t, s.disks[0], mnt)
			change(func(dir string) error { return os.WriteFile(filepath.Join(dir, "flushed"), noise(3<<20, 9), 0o644) })
			change(func(dir string) error { return os.Remove(filepath.Join(dir, "noise")) })
			run(t, "sync", "--file-system", mnt)
			s.dies(old, mnt)

			s = start(t, "--overlay="+overlay, base)
			s.stderr.await(t, `writes are kept in `+overlay+`, which holds [\d.]+ MiB\n`)
			mount(t, s.disks[0], mnt)
			run(t, "diff", "-r", files, mnt)
			change(func(dir string) error { return os.WriteFile(filepath.Join(dir, "later"), noise(1<<20, 10), 0o644) })
			run(t, "umount", mnt)
			run(t, "e2fsck", "-fn", s.disks[0])
			s.ends()
			if digest(t, base) != before {
				t.Error("the base has changed")
			}

			merged := filepath.Join(dir, "merged.img")
			says(t, binary, "commit", overlay, "-o", merged).has(`^lunserve: base: %s\n`, base)
			if tt.name == "raw" {
				says(t, binary, "commit", overlay).has(`^lunserve: base: %s\n`, base)
				run(t, "cmp", base, merged)
			}
			device := loop(t, merged, "--read-only")
			run(t, "e2fsck", "-fn", device)
			mount(t, device, mnt, "-o", "ro")
			run(t, "diff", "-r", files, mnt)
		})
	}
}

// newFileSystem makes an image with a file system and a folder with the same files.
// Most of the image is holes.
func newFileSystem(t *testing.T, dir string) (files, image string) {
	t.Helper()
	files = filepath.Join(dir, "files")
	if err := os.MkdirAll(filepath.Join(files, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(files, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("noise", noise(4<<20+1, 1))
	put("zeros", make([]byte, 2<<20))
	for i := range 50 {
		put(fmt.Sprint("small", i), fmt.Appendf(nil, "%0*d", i*500, i))
	}
	// Larger than the largest zstd frame that is served without unpacking.
	image = newImage(t, dir, 72<<20)
	run(t, "mkfs.ext4", "-q", "-d", files, image)
	return files, image
}

// digest returns a digest of a file's contents.
func digest(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}
