package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/raw"
	"github.com/lunserve/lunserve/backstores/storetest"
)

// smallDir mounts a file system with 16 MiB.
func smallDir(t *testing.T) string { return storetest.Mount(t, "none", "tmpfs", 0, "size=16m") }

// wantEmpty checks that nothing is in dir or takes space there.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if len(files) > 0 || err != nil {
		t.Errorf("left behind: %v (%v)", files, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Bfree != st.Blocks {
		t.Errorf("%d of %d blocks are free (%v)", st.Bfree, st.Blocks, err)
	}
}

const (
	tooLarge = "needs at least 20 MiB; 16 MiB are free, and 5 % of that must stay free"
	tooMuch  = "needs more than 15 MiB; 16 MiB are free, and 5 % of that must stay free"
)

// bombs makes a file that is known to hold 20 MiB of data, and one that holds 32 MiB
// in few bytes and does not say so.
func bombs(t *testing.T) (known, unknown string) {
	t.Helper()
	dir := t.TempDir()
	shell(t, dir, "head -c 20M /dev/urandom >noise; zstd -q noise -o known.zst; head -c 32M /dev/zero | tr '\\0' x | zstd -q >unknown.zst")
	return filepath.Join(dir, "known.zst"), filepath.Join(dir, "unknown.zst")
}

// sparseDisk returns the path of a disk of 64 MiB. Each frame of 256 KiB has a block
// with data, so none is known to be zeros, and a sparse file of it takes 1 MiB.
func sparseDisk(t *testing.T) string {
	t.Helper()
	path := storetest.NewFile(t, t.TempDir(), 64<<20)
	img := make([]byte, 64<<20)
	for off := 0; off < len(img); off += 256 << 10 {
		img[off] = 'x'
	}
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is not known to be data is not counted before it is written.
func TestLargeDiskThatFitsIsUnpacked(t *testing.T) {
	disk := sparseDisk(t)
	dir := filepath.Dir(disk)
	shell(t, dir, "zstd -q disk.img -o single.zst; split -b 256K --filter 'zstd -q' disk.img >frames.zst")
	img, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	packFile(t, filepath.Join(dir, "table.zst"), img, 256<<10)
	for _, name := range []string{"single.zst", "frames.zst", "table.zst", "disk.img"} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(smallDir(t), "out.img")
			if err := unpack(filepath.Join(dir, name), out); err != nil {
				t.Fatal(err)
			}
			shell(t, dir, "cmp disk.img "+out)
		})
	}
	s := open(t, filepath.Join(dir, "single.zst"), image.Options{CacheSize: 1 << 20, TempDir: smallDir(t)})
	if s.Size() != 64<<20 {
		t.Errorf("size %d", s.Size())
	}
}

func TestTemporaryFileLeavesSpaceFree(t *testing.T) {
	dir := smallDir(t)
	known, unknown := bombs(t)
	o := image.Options{CacheSize: 1 << 20, TempDir: dir}
	_, err := image.Open(ctx, known, o)
	storetest.WantError(t, err, known, "PATH: unpack to "+dir+": "+tooLarge+"; try --tmpdir DIR")
	wantEmpty(t, dir)
	_, err = image.Open(ctx, unknown, o)
	storetest.WantError(t, err, unknown, "PATH: unpack to "+dir+": "+tooMuch+"; try --tmpdir DIR")
	wantEmpty(t, dir)
}

// unpack unpacks an image to a new file, as lunserve unpack does.
func unpack(path, out string) error {
	o, err := image.NewOutput(out, false, path)
	if err != nil {
		return err
	}
	n, err := image.Unpack(ctx, path, o, image.Options{CacheSize: 1 << 20})
	if err == nil {
		err = o.Truncate(n)
	}
	if err == nil {
		err = o.Complete()
	}
	return errors.Join(err, o.Close())
}

func TestUnpackLeavesSpaceFree(t *testing.T) {
	dir := smallDir(t)
	known, unknown := bombs(t)
	out := filepath.Join(dir, "out.img")
	storetest.WantError(t, unpack(known, out), known, "PATH: unpacking: "+tooLarge)
	wantEmpty(t, dir)
	err := unpack(unknown, out)
	storetest.WantError(t, err, out, "PATH: write: "+tooMuch)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v is not ENOSPC", err)
	}
	wantEmpty(t, dir)

	// What the index knows to be zeros takes no space.
	img := make([]byte, 256<<20)
	img[100<<20] = 'x'
	packed := filepath.Join(t.TempDir(), "packed.zst")
	packFile(t, packed, img, 256<<10)
	if err := unpack(packed, out); err != nil {
		t.Error(err)
	}
}

func TestExportLeavesSpaceFree(t *testing.T) {
	dir, files := smallDir(t), t.TempDir()
	base, path, out := storetest.NewFile(t, files, 64<<20), filepath.Join(files, "overlay"), filepath.Join(dir, "out.img")
	shell(t, files, "dd if=/dev/urandom of=disk.img bs=1M count=16 conv=notrunc status=none")
	openOverlay(t, path, base).Close()
	var m image.Merge
	storetest.WantError(t, m.Export(ctx, path, out, false), out, "PATH: needs at least 16 MiB; 16 MiB are free, and 5 % of that must stay free")
	wantEmpty(t, dir)
	shell(t, files, "fallocate --punch-hole --offset 4M --length 32M disk.img; touch -r overlay disk.img; rm overlay")
	openOverlay(t, path, base).Close()
	if err := m.Export(ctx, path, out, false); err != nil {
		t.Error(err)
	}
}

// Whatever writes to an Output, as pack does, stops in time.
func TestOutputLeavesSpaceFree(t *testing.T) {
	dir := smallDir(t)
	o, err := raw.NewOutput(filepath.Join(dir, "out"), false)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100_000)
	for err == nil {
		_, err = o.Write(p)
	}
	storetest.WantError(t, err, filepath.Join(dir, "out"), "PATH: write: "+tooMuch)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Bfree*100 < st.Blocks*5 {
		t.Errorf("%d of %d blocks are free (%v)", st.Bfree, st.Blocks, err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	wantEmpty(t, dir)
}
