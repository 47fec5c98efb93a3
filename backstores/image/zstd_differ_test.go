package image_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

var (
	differTime = flag.Duration("differ.time", 0, "compare mutated zstd files with zstd -dc for so long")
	differSeed = flag.Uint64("differ.seed", 0, "the seed of mutations, instead of a random one")
)

// differSources make disk.zst from disk.img, one line for each way to have it
// made. An empty line stands for seekable.Pack.
var differSources = []string{
	"",
	"zstd -q disk.img -o disk.zst",
	"zstd -q --no-check -1 <disk.img >disk.zst",
	"zstd -q -19 --long=20 <disk.img >disk.zst",
	"zstd -q --adapt <disk.img >disk.zst",
	"zstd -q -T2 disk.img -o disk.zst",
	"pzstd -q -p2 disk.img -o disk.zst",
	"split -b 16384 disk.img p.; zstd -q p.*; cat p.*.zst >disk.zst",
	"split -b 16384 disk.img p.; zstd -q --no-check p.*; cat p.*.zst >disk.zst",
	"split -b 16384 disk.img p.; for p in p.*; do zstd -q <$p; done >disk.zst",
	"split -b 9000 disk.img p.; for p in p.*; do zstd -q --no-check <$p; done >disk.zst",
	`split -b 30000 disk.img p.; printf '\120\052\115\030\003\0\0\0abc' >skip; zstd -q p.*; (cat skip; for p in p.*.zst; do cat $p skip; done) >disk.zst`,
}

// sources returns files of all makers, in parts, with and without a table.
func sources(t *testing.T) (list []zstdParts) {
	img := storetest.Contents(100_000)
	for _, line := range differSources {
		dir := t.TempDir()
		path := filepath.Join(dir, "disk.zst")
		if line == "" {
			packFile(t, path, img, 8<<10)
		} else {
			if err := os.WriteFile(filepath.Join(dir, "disk.img"), img, 0o644); err != nil {
				t.Fatal(err)
			}
			shell(t, dir, line)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p := split(t, file)
		list = append(list, p)
		if !p.table {
			p.addTable(t)
			list = append(list, p)
		}
	}
	return list
}

// However a zstd file is damaged or its table lies, unpacking and reading give the
// bytes of zstd -dc, or an error. Where zstd -dc fails, so do they.
//
// One exception is documented in package seekable: a table that was crafted to lie
// about a frame moves what is after it, until the frame is read.
func TestNoZstdFileReadsOtherThanZstdDecompressesIt(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		storetest.Missing(t, "zstd", err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	random := rand.Uint64()
	if *differSeed != 0 {
		random = *differSeed
	}
	list := sources(t)
	end := time.Now().Add(*differTime)
	counts := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, seed := range []uint64{1, random} {
		dir := t.TempDir()
		wg.Go(func() {
			for i := uint64(0); i < 200 || time.Now().Before(end); i++ {
				d := differ{path: filepath.Join(dir, "disk.zst"), r: rand.New(rand.NewPCG(seed, i))}
				result, err := d.compare(list)
				mu.Lock()
				counts[result]++
				mu.Unlock()
				if err != nil {
					t.Errorf("-differ.seed %d, file %d: %s: %v", seed, i, d.what, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, result := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%6d %s", counts[result], result)
	}
}

// Whatever the descriptors of frame and window say (RFC 8878 §3.1.1.1.1 and
// §3.1.1.1.2), they say it to lunserve as they do to zstd.
func TestEveryFrameDescriptorIsReadAsZstdReadsIt(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		storetest.Missing(t, "zstd", err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	file, err := exec.Command("sh", "-c", "seq 9000 | zstd -q").Output()
	if err != nil {
		t.Fatal(err)
	}
	d := differ{path: filepath.Join(t.TempDir(), "disk.zst"), r: rand.New(rand.NewPCG(1, 1))}
	try := func(at int, v byte) {
		damaged := slices.Clone(file)
		damaged[at] = v
		if _, err := d.read(damaged, false); err != nil {
			t.Errorf("byte %d is %#x: %v", at, v, err)
		}
	}
	for v := range 256 {
		try(4, byte(v))
	}
	// The limits are at both ends; windows of 4 MiB to 2 GiB only cost memory.
	for v := range 256 {
		if log := 10 + v>>3; log < 22 || log > 30 {
			try(5, byte(v))
		}
	}
}

// A differ is one comparison.
type differ struct {
	path string
	r    *rand.Rand
	what string // mutations
}

// compare mutates one of the files and reads it in all ways. It returns what
// became of it, for statistics.
func (d *differ) compare(list []zstdParts) (string, error) {
	n := d.r.IntN(len(list))
	for more := 2; !list[n].table && more > 0; more-- { // tables have more ways to lie
		n = d.r.IntN(len(list))
	}
	p := list[n]
	p.frames, p.list = slices.Clone(p.frames), slices.Clone(p.list)
	d.what = fmt.Sprintf("source %d", n)
	var then []func([]byte) []byte
	for range 1 + d.r.IntN(2) {
		what, f := p.mutate(d.r)
		if d.what += ", " + what; f != nil {
			then = append(then, f)
		}
	}
	file := p.join()
	for _, f := range then {
		file = f(file)
	}
	return d.read(file, p.crafted)
}

// read compares what image and zstd read of a file. It returns what became of it,
// for statistics. Crafted tells that a table may lie on purpose.
func (d *differ) read(file []byte, crafted bool) (string, error) {
	if err := os.WriteFile(d.path, file, 0o644); err != nil {
		return "", err
	}
	want, failure := exec.Command("zstd", "-q", "-dc", "--long=31", d.path).Output()

	o := image.Options{Format: image.Zstd, TempDir: filepath.Dir(d.path), MaxWindow: 1 << 31, CacheSize: []int64{64 << 10, 1 << 20, 4 << 20}[d.r.IntN(3)]}
	var out sparseBuffer
	size, err := image.Unpack(context.Background(), d.path, &out, o)
	switch {
	case err != nil:
	case failure != nil:
		return "", fmt.Errorf("unpacked to %d bytes; zstd: %v, after %d", size, failure, len(want))
	case !bytes.Equal(out.bytes(size), want):
		return "", fmt.Errorf("unpacked to %d bytes, which are not the %d of zstd", size, len(want))
	}
	unpacked := err == nil
	s, err := image.Open(context.Background(), d.path, o)
	if err != nil {
		if unpacked && size > 0 {
			return "", fmt.Errorf("unpacked, but does not open: %v", err)
		}
		return "refused" + whileZstd(failure), nil
	}
	defer s.Close()
	reads, whole, err := d.readAll(s)
	switch {
	case err != nil && unpacked:
		return "", fmt.Errorf("unpacked, but does not read: %v", err)
	case err == nil && !unpacked:
		return "", fmt.Errorf("read, but does not unpack")
	case failure == nil && len(want) < len(whole):
		return "", fmt.Errorf("read %d bytes of %d", len(whole), len(want))
	}
	// What zstd wrote of a frame that it does not finish means nothing.
	if n := min(len(whole), len(want)); !bytes.Equal(whole[:n], want[:n]) {
		return "", errors.New("read other bytes")
	}
	result := "read by " + cmp.Or(s.(image.Describer).Info().Index, "unpacking")
	if err != nil {
		result += " until an error"
	}
	for off, b := range reads {
		if failure != nil && off+int64(len(b)) > int64(min(len(whole), len(want))) {
			continue
		}
		if off+int64(len(b)) <= int64(len(want)) && bytes.Equal(b, want[off:off+int64(len(b))]) {
			continue
		}
		if !crafted || err == nil {
			return "", fmt.Errorf("read other bytes, %d at %d", len(b), off)
		}
		result += ", and moved"
		break
	}
	return result + whileZstd(failure), nil
}

// readAll reads at random, and returns what that returned by offset. Then it reads
// from end to end, and returns that up to the first error.
func (d *differ) readAll(s backstores.Backstore) (reads map[int64][]byte, whole []byte, err error) {
	reads = make(map[int64][]byte)
	for range 20 {
		off := d.r.Int64N(s.Size())
		p := make([]byte, 1+d.r.IntN(20_000))
		if n, err := s.ReadAt(p, off); err == nil || err == io.EOF {
			reads[off] = p[:n]
		}
	}
	whole, err = io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
	return reads, whole, err
}

func whileZstd(failure error) string {
	if failure != nil {
		return "; zstd fails"
	}
	return ""
}
