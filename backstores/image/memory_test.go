//go:build !race

// The race detector takes memory of its own, so make unit runs this test without it.

package image_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/lunserve/lunserve/backstores"
	"github.com/lunserve/lunserve/backstores/image"
	"github.com/lunserve/lunserve/backstores/storetest"
)

const memoryCache = 16 << 20

// TestReaderWhoseMemoryIsMeasured is the process of another test. Otherwise it does
// nothing. It reads an image twice, in order and here and there, by 16 readers at once.
func TestReaderWhoseMemoryIsMeasured(t *testing.T) {
	path := os.Getenv("LUNSERVE_TEST_MEMORY")
	if path == "" {
		return
	}
	s := open(t, path, image.Options{ReadOnly: true, CacheSize: memoryCache})
	const readers, n = 16, 256 << 10
	var wg sync.WaitGroup
	for i := range int64(readers) {
		wg.Go(func() {
			p, part := [][]byte{make([]byte, n)}, s.Size()/readers&^4095
			for k := range part / n {
				for _, off := range []int64{i*part + k*n, rand.Int64N(s.Size() - n)} {
					if err := backstores.ReadVec(s, p, off, 0); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:") // ru_maxrss is that of the parent at least
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	fmt.Println("\nKiB:", kib)
}

// Whatever is read, memory is that of the cache and 64 MiB, with all that a Go program
// takes.
func TestMemoryIsThatOfTheCacheAnd64MiB(t *testing.T) {
	n, _ := startNginx(t)
	disk := bytes.Repeat(storetest.Contents(4<<20), 10)
	write(t, n.Path("large.img"), disk)
	packFile(t, n.Path("large.zst"), disk, 2<<20)
	shell(t, n.Path(""), `
		qemu-img convert -f raw -O qcow2 -c large.img zlib.qcow2
		qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd,cluster_size=1M large.img zstd.qcow2
		qemu-img convert -f raw -O vmdk -o subformat=streamOptimized large.img large.vmdk`)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		n.Path("large.zst"), n.Path("zlib.qcow2"), n.Path("zstd.qcow2"), n.Path("large.vmdk"),
		n.URL("large.img"), n.URL("large.zst"), n.URL("zlib.qcow2"),
	} {
		cmd := exec.Command(self, "-test.run=^TestReaderWhoseMemoryIsMeasured$")
		cmd.Env = append(os.Environ(), "LUNSERVE_TEST_MEMORY="+path)
		out, err := cmd.CombinedOutput()
		_, rest, _ := strings.Cut(string(out), "\nKiB:")
		var kib int64
		if _, scan := fmt.Sscan(rest, &kib); err != nil || scan != nil {
			t.Fatalf("%s: %v\n%s", path, err, out)
		}
		t.Logf("%s: %d MiB", path, kib>>10)
		if kib<<10 > memoryCache+64<<20 {
			t.Errorf("%s: %d MiB with a cache of %d", path, kib>>10, memoryCache>>20)
		}
	}
}
