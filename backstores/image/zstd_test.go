package image_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/seekable"
	"github.com/lunserve/lunserve/backstores/storetest"
)

func packFile(t testing.TB, path string, b []byte, frame int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := seekable.PackOptions{Level: zstd.SpeedFastest, FrameSize: frame}
	if _, err := seekable.Pack(ctx, f, bytes.NewReader(b), int64(len(b)), o); err != nil {
		t.Fatal(err)
	}
}

// shell runs a command line in dir.
func shell(t testing.TB, dir, line string) {
	t.Helper()
	for _, tool := range []string{"zstd", "pzstd"} {
		if _, err := exec.LookPath(tool); err != nil && strings.Contains(line, tool) {
			storetest.Missing(t, "command", err)
		}
	}
	cmd := exec.Command("sh", "-euc", line)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// makers make disk.zst from disk.img with the usual tools.
var makers = []struct {
	name   string
	line   string // for sh; empty for seekable.Pack
	frame  int64
	index  string // Info.Index
	small  int64  // a cache size at which the file is unpacked
	format string // prefix of Describe
}{
	{name: "pack 128K", frame: 128 << 10, index: "seek table", format: "zstd, 13 frames of 128 KiB"},
	{name: "pack 4K", frame: 4 << 10, index: "seek table"},
	{name: "pack 1M", frame: 1 << 20, index: "seek table"},
	{name: "zstd", line: "zstd -q disk.img -o disk.zst", index: "frame headers", small: 1 << 20, format: "zstd, one frame"},
	{name: "zstd from a pipe", line: "zstd -q <disk.img >disk.zst", index: "decoding once", small: 1 << 20, format: "zstd, one frame"},
	{name: "zstd -T2 -B1M", line: "zstd -q -T2 -B1M disk.img -o disk.zst", index: "frame headers"},
	{name: "zstd --long=27", line: "zstd -q --long=27 <disk.img >disk.zst", index: "decoding once", small: 1 << 20},
	{name: "zstd -19 --no-check", line: "zstd -q -19 --no-check disk.img -o disk.zst", index: "frame headers"},
	{name: "pzstd", line: "pzstd -q -p4 disk.img -o disk.zst", index: "decoding once"},
	{name: "concatenated", line: "split -b 100000 disk.img p.; zstd -q p.*; cat p.*.zst >disk.zst", index: "frame headers", format: "zstd, 16 frames of 98 KiB"},
	{name: "concatenated from pipes", line: "split -b 100000 disk.img p.; for p in p.*; do zstd -q <$p >>disk.zst; done", index: "decoding once"},
	{name: "concatenated with tables", line: "cat a.zst b.zst >disk.zst", index: "frame headers"},
	{name: "skippable frames in between", line: `split -b 100000 disk.img p.; printf '\120\052\115\030\003\0\0\0abc' >skip; zstd -q p.*; for p in p.*.zst; do cat skip $p >>disk.zst; done; cat skip >>disk.zst`, index: "frame headers"},
	{name: "empty frames in between", line: `split -b 700000 disk.img p.; zstd -q p.*; for p in p.*.zst; do cat $p >>disk.zst; zstd -q </dev/null >>disk.zst; done`, index: "frame headers"},
}

// The zstd files of all makers pass the suite for stores, and hold what was
// packed.
func TestZstd(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, m := range makers {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			img := storetest.Contents(1<<20 + 543210)
			if err := os.WriteFile(filepath.Join(dir, "disk.img"), img, 0o644); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "disk.zst")
			if m.line == "" {
				packFile(t, path, img, m.frame)
				shell(t, dir, "zstd -q -t disk.zst; zstd -q -l disk.zst; zstd -q -dc disk.zst | cmp - disk.img")
			} else {
				if strings.Contains(m.line, "a.zst") {
					packFile(t, filepath.Join(dir, "a.zst"), img[:1<<20], 128<<10)
					packFile(t, filepath.Join(dir, "b.zst"), img[1<<20:], 128<<10)
				}
				shell(t, dir, m.line)
			}
			s := open(t, path, image.Options{})
			if got := image.Describe(s); !strings.HasPrefix(got, m.format) {
				t.Errorf("Describe() = %q, want %q", got, m.format)
			}
			if f := s.(image.Describer).Info(); f.Index != m.index || f.Size != int64(len(img)) {
				t.Errorf("Info %+v, want %d bytes, index %q", f, len(img), m.index)
			}
			got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
			if err != nil || !bytes.Equal(got, img) {
				t.Fatalf("%d bytes, want %d, or they differ (error %v)", len(got), len(img), err)
			}
			// A cache of a few frames evicts all the time.
			caches := []int64{5 << 20}
			if m.small > 0 {
				caches = []int64{0, m.small}
			} else if m.frame == 128<<10 || m.frame == 4<<10 {
				caches = []int64{0, 5 * m.frame}
			}
			for _, cache := range caches {
				d := image.Describe(open(t, path, image.Options{CacheSize: cache}))
				if m.small > 0 && (cache == m.small) != strings.Contains(d, "unpacked to /var/tmp") {
					t.Errorf("with a cache of %d: %s", cache, d)
				}
				t.Run(fmt.Sprint("cache ", cache), func(t *testing.T) {
					storetest.Run(t, func(t testing.TB) backstores.Backstore {
						s, err := image.Open(ctx, path, image.Options{CacheSize: cache})
						if err != nil {
							t.Fatal(err)
						}
						return s
					})
				})
			}
			var out sparseBuffer
			if n, err := image.Unpack(ctx, path, &out, image.Options{}); err != nil || n != int64(len(img)) || !bytes.Equal(out.bytes(n), img) {
				t.Errorf("Unpack: %d bytes, want %d, or they differ (error %v)", n, len(img), err)
			}
		})
	}
}

// A file without random access is unpacked to its destination directly, however
// many frames it has.
func TestUnpackNeedsNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.zst")
	img := storetest.Contents(5 << 20)
	for name, cuts := range map[string][]int{"one frame": {0, len(img)}, "three": {0, 2 << 20, 3 << 20, len(img)}} {
		var file []byte
		for i, end := range cuts[1:] {
			file = append(file, encode(t, img[cuts[i]:end])...)
		}
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		var out sparseBuffer
		n, err := image.Unpack(ctx, path, &out, image.Options{
			CacheSize: 1 << 20,
			TempDir:   filepath.Join(dir, "missing"),
			Notice:    func(note error) { t.Errorf("%s: notice %q", name, note) },
		})
		if err != nil || !bytes.Equal(out.bytes(n), img) {
			t.Errorf("%s: %v, or it differs", name, err)
		}
	}
}
